/**
 * `/`: the instances on one page, moving by itself.
 *
 * Guarantees: one document, nothing from elsewhere (its policy allows no other origin); readable without a script, which
 * then reloads it every five seconds; text of others is never taken as markup; what is not known is said to be so, with
 * the last known answer below; what is not live stands first, so that it is never among the rows left out.
 */
import { createHash } from 'node:crypto';
import type { CensusLease, Instance } from '../census/census.ts';
import type { Answer, CensusSnapshot } from '../census/census-events.ts';
import type { HttpAnswer } from './answer.ts';
import type { CensusSource } from './census-endpoint.ts';

/** More rows are not shown: `/v1/instances` has them all. */
const MAX_ROWS = 500;

const STYLE = `
:root{color-scheme:light dark;--live:light-dark(#1a7f37,#3fb950);--stale:light-dark(#9a6700,#d29922);--other:#888;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}
h1{font-size:1.1rem;font-weight:600;margin:0}
#sum{font-size:2.2rem;font-weight:600;margin:.5rem 0 0}
#sum small{font-size:1rem;font-weight:400;opacity:.75}
#fresh{margin:0 0 1.5rem;opacity:.75}
#trouble{border-left:4px solid #cf222e;padding:.5rem 1rem;margin:1rem 0;background:#cf222e1a}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:600;font-size:.85rem;opacity:.75}
td,th{padding:.4rem .8rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:baseline}
td{overflow-wrap:anywhere}
td.age,td.state{white-space:nowrap;font-variant-numeric:tabular-nums}
td.state::before{content:"";display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.5rem;background:var(--other)}
tr.live td.state::before{background:var(--live)}
tr.stale td.state::before{background:var(--stale)}
td.holder{font:12px/1.6 ui-monospace,monospace;opacity:.75}
.old table,.old #sum{opacity:.5}
footer{margin-top:2rem;font-size:.85rem;opacity:.75}
`;

/** Polls once a second while the page is looked at; between two answers only the times move. */
const SCRIPT = `
'use strict';
const $=(id)=>document.getElementById(id);
let list=[],at=performance.now(),fresh=null,busy=false;
const span=(s)=>s===null?'unknown':s<60?s.toFixed(0)+' s':s<3600?Math.floor(s/60)+' min '+Math.floor(s%60)+' s':Math.floor(s/3600)+' h '+Math.floor(s%3600/60)+' min';
const holder=(l)=>l.holder?.startsWith(l.name+'_')?'\\u2026'+l.holder.slice(l.name.length):l.holder??l.name;
function row(i){
  const tr=document.createElement('tr');tr.className=i.state;
  const best=i.leases.reduce((a,b)=>(a.renewedSecondsAgo??Infinity)<=(b.renewedSecondsAgo??Infinity)?a:b);
  for(const [c,t] of [['name',i.name],['state',i.state],['age',''],['holder',i.leases.map(holder).join(' ')]]){
    const td=document.createElement('td');td.className=c;td.textContent=t;tr.append(td);
  }
  return {tr,age:tr.children[2],s:best.renewedSecondsAgo};
}
function tick(){
  const past=(performance.now()-at)/1000;
  for(const r of list)r.age.textContent=r.s===null?'unknown':span(r.s+past)+' ago';
  if(fresh!==null)$('fresh').textContent='as of '+span(fresh+past)+' ago';
}
function show(d){
  const of=d.known?d:d.last;
  document.body.className=d.known?'':'old';
  $('trouble').hidden=d.known;
  if(!d.known)$('trouble').textContent='Unknown: '+d.message+(d.error?' ('+d.error.message+')':'')+(of?'. Below is what was known last.':'.');
  const c=of&&of.counts;
  $('sum').firstChild.textContent=c?c.instances+(c.instances===1?' instance ':' instances '):'? instances ';
  $('sum').lastChild.textContent=c?c.live+' live, '+c.stale+' stale, '+c.expired+' expired':'';
  document.title=(d.known?c.live+'/'+c.instances+' live':'unknown')+' \\u2013 leasekeeper';
  const all=of?of.instances.toSorted((a,b)=>(a.state==='live')-(b.state==='live')):[];
  list=all.slice(0,${MAX_ROWS}).map(row);
  $('rows').replaceChildren(...list.map((r)=>r.tr));
  $('more').hidden=all.length<=${MAX_ROWS};
  $('more').textContent='and '+(all.length-${MAX_ROWS})+' more: see /v1/instances';
  fresh=of?of.instancesAgeSeconds:null;at=performance.now();tick();
}
async function poll(){
  if(busy||document.hidden)return;
  busy=true;
  try{show(await(await fetch('v1/instances',{signal:AbortSignal.timeout(5000)})).json())}
  catch{document.body.className='old';$('trouble').hidden=false;$('trouble').textContent='leasekeeper does not answer. Below is what was known last.'}
  busy=false;
}
setInterval(tick,250);setInterval(poll,1000);document.addEventListener('visibilitychange',poll);poll();
`;

const hash = (content: string): string => `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
const POLICY = `default-src 'none'; script-src ${hash(SCRIPT)}; style-src ${hash(STYLE)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export function pageAnswer(source: CensusSource, what: string): HttpAnswer {
  const snapshot = source.snapshot();
  // Drawn here for those without a script; with many instances the script's list must do.
  const all = source.census()?.instances ?? [];
  const instances = all.toSorted((a, b) => Number(a.state === 'live') - Number(b.state === 'live'));
  return {
    status: 200,
    type: 'text/html; charset=utf-8',
    headers: { 'content-security-policy': POLICY },
    body: page(snapshot, instances, what),
  };
}

function page(snapshot: CensusSnapshot, instances: readonly Instance[], what: string): string {
  const answer = snapshot.known ? snapshot.answer : snapshot.last;
  const more = instances.length - MAX_ROWS;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>leasekeeper</title><link rel="icon" href="data:,"><style>${STYLE}</style>
<noscript><meta http-equiv="refresh" content="5"></noscript></head>
<body class="${snapshot.known ? '' : 'old'}">
<h1>${escape(what)}</h1>
<p id="sum"><span>${answer ? `${answer.counts.instances} ${answer.counts.instances === 1 ? 'instance' : 'instances'} ` : '? instances '}</span><small>${sums(answer)}</small></p>
<p id="fresh">${answer ? `as of ${answer.asOf.toString().slice(0, 19)}Z, ${span(answer.ageMs)} ago` : ''}</p>
<p id="trouble"${snapshot.known ? ' hidden' : ''}>${snapshot.known ? '' : `Unknown (${snapshot.reason}).${answer ? ' Below is what was known last.' : ''}`}</p>
<table><thead><tr><th>Instance</th><th>State</th><th>Renewed</th><th>Holder</th></tr></thead>
<tbody id="rows">${instances.slice(0, MAX_ROWS).map(row).join('')}</tbody></table>
<p id="more"${more > 0 ? '' : ' hidden'}>and ${more} more: see /v1/instances</p>
<footer>live: renewed within ${snapshot.freshForMs / 1000} s; stale: not live, not yet expired. Also: <a href="v1/instances">/v1/instances</a>, <a href="v1/count">/v1/count</a>, <a href="metrics">/metrics</a>, <a href="readyz?verbose">/readyz</a></footer>
<script>${SCRIPT}</script></body></html>
`;
}

const sums = (answer: Answer | undefined): string =>
  answer ? `${answer.counts.live} live, ${answer.counts.stale} stale, ${answer.counts.expired} expired` : '';

function row({ name, state, leases }: Instance): string {
  const ages = leases.map((lease) => lease.renewedAgoMs).filter((age) => age !== undefined);
  const age = ages.length > 0 ? `${span(Math.min(...ages))} ago` : 'unknown';
  const holders = leases.map(shortHolder).join(' ');
  return `<tr class="${state}"><td class="name">${escape(name)}</td><td class="state">${state}</td><td class="age">${age}</td><td class="holder">${escape(holders)}</td></tr>`;
}

/** Holders of ours begin with the name of their lease, 79 characters that say no more than the hostname does. */
const shortHolder = ({ name, holder }: CensusLease): string =>
  holder?.startsWith(`${name}_`) ? `…${holder.slice(name.length)}` : (holder ?? name);

const span = (ms: number): string => (ms < 60_000 ? `${Math.round(ms / 1000)} s` : `${Math.floor(ms / 60_000)} min`);

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (content: string): string => content.replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c);
