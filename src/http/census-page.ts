/**
 * `/`: the leases on one page, moving by itself.
 *
 * Guarantees: one document, nothing from elsewhere (its policy allows no other origin); asks once a second, while it is
 * looked at, for what has changed; text can be selected while it moves; text of others is never taken as markup; what is
 * not known is said to be so, with the last known answer and its age below; what is not live stands first, so that it is
 * never among the rows left out. Without a script it is a table of that moment, and loads itself again every five seconds.
 */
import { createHash } from 'node:crypto';
import type { CensusLease } from '../census/census.ts';
import type { CensusSnapshot } from '../census/census-events.ts';
import type { HttpAnswer } from './answer.ts';
import { REASONS } from './census-endpoint.ts';
import type { CensusSource } from './census-endpoint.ts';

/** More rows are not shown at once: the filter finds the others. */
const MAX_ROWS = 500;

/** The contrast of every text is at least 4.5, of every mark 3. */
const STYLE = `
:root{color-scheme:light dark;--back:light-dark(#fff,#0d1117);--text:light-dark(#1f2328,#e6edf3);--dim:light-dark(#59636e,#9198a1);
--line:light-dark(#d1d9e0,#3d444d);--link:light-dark(#0860ca,#4493f8);--live:light-dark(#1a7f37,#3fb950);--stale:light-dark(#9a6700,#d29922);
--expired:light-dark(#cf222e,#f85149);--other:light-dark(#6e7781,#8b949e);--alarm:light-dark(#ffebe9,#3d1513)}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0;background:var(--back);color:var(--text)}
main{margin:0 auto;max-width:80rem;padding:1.5rem 1rem}
a{color:var(--link)}
h1{font-size:1.1rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1rem;margin:2rem 0 .5rem}
#sum{font-size:2.2rem;font-weight:600;line-height:1.2;margin:.5rem 0 0}
#parts,#fresh{margin:0}
#fresh,th,footer,.note{color:var(--dim)}
#trouble{border-left:4px solid var(--expired);background:var(--alarm);padding:.5rem 1rem;margin:1rem 0;overflow-wrap:anywhere}
#trouble:empty{display:none}
#search{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline;margin:1.5rem 0 .5rem}
#search input{font:inherit;color:inherit;background:var(--back);border:1px solid var(--other);border-radius:6px;padding:.3rem .6rem;width:20rem;max-width:100%}
::placeholder{color:var(--dim);opacity:1}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-size:.85rem;font-weight:600}
td,th{padding:.4rem .8rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:baseline}
td{overflow-wrap:anywhere}
td.name{min-width:5rem}
td.state,td.age,td.since,td.transitions{white-space:nowrap;font-variant-numeric:tabular-nums}
td.lease,td.holder{font:12px/1.6 ui-monospace,monospace;color:var(--dim)}
td.state::before{content:"";display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.5rem;background:var(--other)}
tr.live td.state::before{background:var(--live)}
tr.stale td.state::before{background:var(--stale);border-radius:0}
tr.expired td.state::before{background:var(--expired);border-radius:0}
.old #sum,.old td{color:var(--dim);font-style:italic}
footer{margin-top:2rem;font-size:.85rem}
[hidden]{display:none}
@media (max-width:52rem){
table,tbody,tr,td{display:block}
thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{border-bottom:1px solid var(--line);padding:.5rem 0}
td{border:0;padding:0}
td:empty{display:none}
td.name{font-weight:600}
td:not(.name){padding-left:5.5rem;text-indent:-5.5rem}
td.lease::before,td.holder::before,td.age::before,td.since::before,td.transitions::before,td.leader::before,td.switch::before{content:attr(data-label);display:inline-block;width:5.5rem;text-indent:0;font:13px system-ui,sans-serif;color:var(--dim)}
td.state{padding-left:0!important;text-indent:0!important}
}
`;

/** Name of the class and heading of each column. */
const COLUMNS = [
  ['name', 'Host'],
  ['state', 'State'],
  ['age', 'Renewed'],
  ['since', 'Since (UTC)'],
  ['transitions', 'Changes'],
  ['lease', 'Lease'],
  ['holder', 'Holder'],
] as const;

/** Text that has not changed is left alone, and no row moves while something is selected: a selection stays. */
const SCRIPT = `
'use strict';
const $=(id)=>document.getElementById(id);
const COLUMNS=${JSON.stringify(COLUMNS)},MAX=${MAX_ROWS},ORDER=['stale','expired','unknown','live','released'];
const rows=new Map();
let next='',known=false,answered=false,of=null,busy=false,order=true,lately=null,counts=null;
const span=(s)=>s<60?Math.floor(s)+' s':s<3600?Math.floor(s/60)+' min '+Math.floor(s%60)+' s':s<86400?Math.floor(s/3600)+' h '+Math.floor(s%3600/60)+' min':Math.floor(s/86400)+' d '+Math.floor(s%86400/3600)+' h';
const brief=(s)=>s<10?s.toFixed(1)+' s':span(s);
const say=(node,text)=>{if(node.textContent!==text)if(node.firstChild)node.firstChild.data=text;else node.textContent=text};
const short=(name,lease)=>name.startsWith(lease+'_')?'\\u2026'+name.slice(lease.length):name;
function put([id,name,state,lease,namespace,holder,transitions,since,ago,marks]){
  let row=rows.get(id);
  if(!row){
    const tr=document.createElement('tr');tr.setAttribute('role','row');
    const cells=COLUMNS.map(([c,label])=>{const td=document.createElement('td');td.className=c;td.setAttribute('role','cell');td.dataset.label=label;tr.append(td);return td});
    rows.set(id,row={id,tr,cells});
  }
  if(row.state!==state||row.name!==name)order=true;
  Object.assign(row,{name,state,text:[name,state,lease,namespace,holder??'',marks].join(' ').toLowerCase()});
  row.tr.className=state;
  const texts=[name,marks?state+' ('+marks+')':state,null,since?since.replace('T',' '):'',String(transitions??''),lease,holder?short(holder,lease):''];
  texts.forEach((t,i)=>{if(t!==null)say(row.cells[i],t)});
  row.cells[3].title=since?since+'Z':'';row.cells[5].title=namespace+'/'+lease;row.cells[6].title=holder??'';
  renew(row,ago);
}
function renew(row,ago){row.ago=ago===null?null:ago/10;row.of=of}
function tick(){
  const now=performance.now();
  for(const row of rows.values())if(row.tr.isConnected)say(row.cells[2],row.ago===null?'unknown':span(row.ago+(known?Math.max(0,now-row.of)/1000:0))+' ago');
  say($('fresh'),of===null?'':(known&&answered?'as of ':'last known ')+span(Math.max(0,now-of)/1000)+' ago');
}
function draw(){
  const words=$('filter').value.toLowerCase().split(/\\s+/).filter(Boolean);
  const found=[...rows.values()].filter((r)=>words.every((w)=>r.text.includes(w)));
  found.sort((a,b)=>ORDER.indexOf(a.state)-ORDER.indexOf(b.state)||(a.name<b.name?-1:a.name>b.name?1:a.id-b.id));
  const shown=found.slice(0,MAX).map((r)=>r.tr),body=$('rows');
  const wanted=new Set(shown);
  for(const tr of [...body.children])if(!wanted.has(tr))tr.remove();
  shown.forEach((tr,i)=>{if(body.children[i]!==tr)body.insertBefore(tr,body.children[i]??null)});
  say($('found'),words.length===0&&found.length<=MAX?'':found.length>MAX?'the first '+MAX+' of '+found.length+' leases':found.length+' of '+rows.size+' leases');
  $('none').hidden=rows.size>0||!known;
  order=false;
}
const selecting=()=>{const s=getSelection();return s!==null&&!s.isCollapsed&&$('rows').contains(s.anchorNode)};
function list(id,lines){$(id).replaceChildren(...lines.map((t)=>{const li=document.createElement('li');li.textContent=t;return li}));$(id).hidden=lines.length===0}
function show(d){
  const now=performance.now();
  if(d.all){const ids=new Set(d.leases.map(([id])=>id));for(const id of rows.keys())if(!next||!next.startsWith(d.next.split('.')[0]+'.')||!ids.has(id)){rows.get(id).tr.remove();rows.delete(id)}order=true}
  next=d.next;known=d.known;answered=true;of=d.ageSeconds===null?null:now-d.ageSeconds*1000;
  for(const lease of d.leases)put(lease);
  for(let i=0;i<d.renewed.length;i+=2){const row=rows.get(d.renewed[i]);if(row)renew(row,d.renewed[i+1])}
  for(const id of d.gone){const row=rows.get(id);if(row){row.tr.remove();rows.delete(id);order=true}}
  if(known)for(const row of rows.values())if(row.of!==of&&row.ago!==null){row.ago+=Math.max(0,of-row.of)/1000;row.of=of}
  const c=counts=d.counts;
  document.body.className=known?'':'old';
  say($('sum'),c?c.instances+(c.instances===1?' instance':' instances'):'? instances');
  say($('parts'),c?c.live+' live, '+c.stale+' stale, '+c.expired+' expired, '+c.released+' released':'');
  trouble(known?'':'Unknown: '+d.message+(d.error?' ('+d.error.message+')':'')+(c?'. Below is what was known last.':'.'));
  document.title=(known?c.live+'/'+c.instances+' live':'unknown')+' \\u2013 leasekeeper';
  if(d.lately)lately={...d.lately,at:now};
  if(lately){
    const ago=(s)=>span(s+(now-lately.at)/1000)+' ago';
    list('passes',lately.passes.map((p)=>ago(p.secondsAgo)+': '+p.outcome+(p.because?' ('+p.because+')':'')+', '+p.deleted+' of '+p.seen+' leases deleted'+(p.dryRun?' (dry run)':'')));
    list('removed',lately.removed.map((r)=>ago(r.secondsAgo)+': '+r.name+', its lease had expired and is gone'));
    $('lately').hidden=lately.passes.length+lately.removed.length===0;
  }
  if(order&&!selecting())draw();
  tick();
}
function trouble(text){say($('trouble'),text)}
async function poll(){
  if(busy||document.hidden)return;
  busy=true;
  try{
    const r=await fetch('v1/changes?since='+next,{signal:AbortSignal.timeout(5000)});
    if(!r.ok)throw new Error(r.status===401?'401: credentials are needed':String(r.status));
    show(await r.json());
  }catch(e){
    answered=false;document.body.className='old';document.title='no answer \\u2013 leasekeeper';
    trouble('leasekeeper does not answer'+(/^[45]/.test(e.message)?' ('+e.message+')':'')+'.'+(rows.size>0?' Below is what was known last.':''));
    known=false;tick();
  }
  busy=false;
}
const ELECTION=['name','leader','age','since','switch'];
const elections=new Map();
async function elect(){
  if(document.hidden)return;
  try{
    const d=await(await fetch('v1/leases?kind=election',{signal:AbortSignal.timeout(5000)})).json();
    const of=d.known?d.leases:d.last?.leases,body=$('contended'),now=new Set();
    for(const e of of??[]){
      const key=e.namespace+'/'+e.name;now.add(key);
      let tr=elections.get(key);
      if(!tr){tr=document.createElement('tr');tr.setAttribute('role','row');for(const c of ELECTION){const td=document.createElement('td');td.className=c;td.setAttribute('role','cell');td.dataset.label=LABELS[c];tr.append(td)}elections.set(key,tr);body.append(tr)}
      const s=e.lastSwitch,nobody=e.held===false;
      tr.className=nobody?'expired':e.held?'live':'';
      [key,nobody?'nobody'+(e.leaderlessSeconds?' for '+span(e.leaderlessSeconds):''):e.holder??'unknown',e.renewedSecondsAgo===null?'unknown':span(e.renewedSecondsAgo)+' ago',String(e.leaseTransitions??''),s?'took '+brief(s.seconds)+', '+s.how+', nobody led for '+brief(s.leaderlessSeconds):''].forEach((t,i)=>say(tr.children[i],t));
    }
    for(const [key,tr] of elections)if(!now.has(key)){tr.remove();elections.delete(key)}
    say($('contest'),d.known?elections.size===0?'There are none.':'':'Unknown'+(d.error?' ('+d.error.message+')':'')+(of?'. Below is what was known last.':'.'));
  }catch{say($('contest'),'leasekeeper does not answer.')}
}
const LABELS={leader:'Leader',age:'Renewed',since:'Changes',switch:'Last switch'};
if($('contended')){setInterval(elect,5000);document.addEventListener('visibilitychange',elect);elect()}
$('filter').addEventListener('input',draw);
setInterval(tick,1000);setInterval(poll,1000);document.addEventListener('visibilitychange',poll);poll();
`;

const hash = (content: string): string => `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
const POLICY = `default-src 'none'; script-src ${hash(SCRIPT)}; style-src ${hash(STYLE)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const html = (body: string): HttpAnswer => ({
  status: 200,
  type: 'text/html; charset=utf-8',
  headers: { 'content-security-policy': POLICY },
  body,
  compress: true,
});

const head = (title: string, more: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><link rel="icon" href="data:,"><style>${STYLE}</style>
${more}</head>
`;

const HEADINGS = COLUMNS.map(([, heading]) => `<th role="columnheader" scope="col">${heading}</th>`).join('');
const table = (rows: string): string =>
  `<table role="table" aria-label="Leases"><thead role="rowgroup"><tr role="row">${HEADINGS}</tr></thead>
<tbody role="rowgroup" id="rows">${rows}</tbody></table>`;
const footer = (freshForMs: number, elections = false): string =>
  `<footer>live: renewed within ${freshForMs / 1000} s; stale: neither live nor expired; changes: how often the lease changed hands. Also: <a href="v1/instances">/v1/instances</a>, <a href="v1/count">/v1/count</a>, ${elections ? '<a href="v1/leases">/v1/leases</a>, ' : ''}<a href="metrics">/metrics</a>, <a href="readyz?verbose">/readyz</a></footer>`;

const ELECTIONS = `<section><h2>Elections</h2><p id="contest" class="note" role="status"></p>
<table role="table" aria-label="Elections"><thead role="rowgroup"><tr role="row">${['Lease', 'Leader', 'Renewed', 'Changes', 'Last switch'].map((heading) => `<th role="columnheader" scope="col">${heading}</th>`).join('')}</tr></thead>
<tbody role="rowgroup" id="contended"></tbody></table></section>`;

/** The page, always the same. @param elections shows those of /v1/leases too */
export const pageAnswer = (source: CensusSource, what: string, elections = false): HttpAnswer =>
  html(`${head('leasekeeper', '<noscript><meta http-equiv="refresh" content="0;url=?plain"></noscript>')}<body><main>
<h1>${escape(what)}</h1>
<p id="sum">? instances</p>
<p id="parts"></p>
<p id="fresh"></p>
<p id="trouble" role="alert"></p>
<div id="search"><label for="filter">Filter</label><input id="filter" type="search" autocomplete="off" spellcheck="false" placeholder="host, state, lease or holder"><output id="found" for="filter" class="note"></output></div>
${table('')}
<p id="none" class="note" hidden>There are no such leases.</p>
<section id="lately" hidden><h2>Lately</h2><ul id="passes" aria-label="Passes of the sweeper"></ul><ul id="removed" aria-label="Leases that are gone"></ul></section>
${elections ? ELECTIONS : ''}
${footer(source.snapshot().freshForMs, elections)}
</main><script>${SCRIPT}</script></body></html>
`);

/** The table of this moment. */
export function plainPage(source: CensusSource, what: string): HttpAnswer {
  const snapshot = source.snapshot();
  const all = source.census()?.leases ?? [];
  const rank = ({ state }: CensusLease): number => ['stale', 'expired', 'unknown', 'live'].indexOf(state) >>> 0;
  const nameOf = ({ hostname, name }: CensusLease): string => hostname ?? name;
  const leases = all.toSorted((a, b) => rank(a) - rank(b) || (nameOf(a) < nameOf(b) ? -1 : 1));
  const more = leases.length - MAX_ROWS;
  const answer = snapshot.known ? snapshot.answer : snapshot.last;
  const counts = answer?.counts;
  return html(`${head('leasekeeper', '<meta http-equiv="refresh" content="5">')}<body class="${snapshot.known ? '' : 'old'}"><main>
<h1>${escape(what)}</h1>
<p id="sum">${counts ? `${counts.instances} ${counts.instances === 1 ? 'instance' : 'instances'}` : '? instances'}</p>
<p id="parts">${counts ? `${counts.live} live, ${counts.stale} stale, ${counts.expired} expired, ${counts.released} released` : ''}</p>
<p id="fresh">${answer ? `as of ${answer.asOf.toString().slice(0, 19)}Z, ${span(answer.ageMs)} ago` : ''}</p>
<p id="trouble" role="alert">${snapshot.known ? '' : escape(unknownText(snapshot))}</p>
${table(leases.slice(0, MAX_ROWS).map(row).join(''))}
${more > 0 ? `<p class="note">and ${more} more: see /v1/instances</p>` : ''}
${footer(snapshot.freshForMs)}
</main></body></html>
`);
}

const unknownText = (snapshot: CensusSnapshot & { known: false }): string =>
  `Unknown: ${REASONS[snapshot.reason]}${snapshot.error ? ` (${snapshot.error.message})` : ''}.${snapshot.last ? ' Below is what was known last.' : ''}`;

function row(lease: CensusLease): string {
  const { name, hostname, state, renewedAgoMs, acquireTime, creationTimestamp, leaseTransitions } = lease;
  const since = (acquireTime ?? creationTimestamp)?.toString().slice(0, 19).replace('T', ' ') ?? '';
  const age = renewedAgoMs === undefined ? 'unknown' : `${span(renewedAgoMs)} ago`;
  const texts = [hostname ?? name, state, age, since, `${leaseTransitions ?? ''}`, name, shortHolder(lease)];
  const cells = COLUMNS.map(
    ([kind, label], i) => `<td role="cell" class="${kind}" data-label="${label}">${escape(texts[i] ?? '')}</td>`,
  );
  return `<tr role="row" class="${state}">${cells.join('')}</tr>`;
}

/** Holders of ours begin with the name of their lease. */
const shortHolder = ({ name, holder = '' }: CensusLease): string =>
  holder.startsWith(`${name}_`) ? `…${holder.slice(name.length)}` : holder;

const span = (ms: number): string => (ms < 60_000 ? `${Math.round(ms / 1000)} s` : `${Math.floor(ms / 60_000)} min`);

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (content: string): string => content.replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c);
