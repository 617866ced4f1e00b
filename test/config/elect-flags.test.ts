import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ELECT_TABLE, electSettings } from '../../src/config/elect-flags.ts';
import { named } from '../../src/config/bindings.ts';
import { readOptions } from '../../src/config/option-spec.ts';
import type { Problem } from '../../src/config/option-spec.ts';

/** @param flags by key, as text */
function read(flags: Readonly<Record<string, string | readonly string[]>>) {
  const options = Object.fromEntries(
    Object.entries(flags).map(([key, raw]) => {
      const { flag } = ELECT_TABLE[key as keyof typeof ELECT_TABLE];
      return [key, [{ raw, origin: 'flag' as const, name: flag }]];
    }),
  );
  const given = { options, problems: [] };
  const { values, problems, broken } = readOptions(ELECT_TABLE, given);
  const { wrong, ...settings } = electSettings(values, 'host-1', 250);
  return { settings, problems: [...problems, ...named(wrong, ELECT_TABLE, given, broken)] };
}
const problemsOf = (flags: Readonly<Record<string, string>>): Problem[] =>
  read({ electLease: 'a/b', ...flags }).problems;

test("client-go's defaults; the operating system's name as id", () => {
  const { settings, problems } = read({ electLease: 'default/job' });
  assert.deepEqual(problems, []);
  const { ref, ...others } = settings;
  assert.deepEqual(ref('pods'), { namespace: 'default', name: 'job' });
  assert.deepEqual(others, {
    marks: { labels: {}, annotations: {}, owners: [] },
    id: 'host-1',
    restart: 'never',
    stopTimeoutMs: 20_000,
    election: {
      leaseDurationSeconds: 15,
      renewDeadlineMs: 10_000,
      retryPeriodMs: 2_000,
      workTimeoutMs: 25_000,
      onWorkError: 'retry',
    },
    http: undefined,
  });
});

test('each problem names its flag, the value and the rule', () => {
  assert.deepEqual(read({}).problems, [{ option: '--lease', value: undefined, rule: 'is required: [NAMESPACE/]NAME' }]);
  for (const [lease, rule] of [
    ['a/', 'the name must not be empty'],
    ['/a', 'the namespace must not be empty'],
    ['a/b/c', 'must be [NAMESPACE/]NAME'],
    ['', 'the name must not be empty'],
  ] as const)
    assert.deepEqual(read({ electLease: lease }).problems, [{ option: '--lease', value: lease, rule }]);
  assert.match(problemsOf({ electLease: 'A/b' })[0]?.rule ?? '', /^the namespace must/);
  assert.match(problemsOf({ electLease: 'a/B_' })[0]?.rule ?? '', /^the name must/);
  assert.deepEqual(problemsOf({ electId: '' }), [{ option: '--id', value: '', rule: 'must not be empty' }]);
  assert.deepEqual(problemsOf({ electLeaseDuration: '2500ms', electRenewDeadline: '2s', electRetryPeriod: '1s' }), [
    { option: '--lease-duration', value: '2.5s', rule: 'must be whole seconds from 1 to 3600' },
  ]);
  assert.deepEqual(problemsOf({ electRetryPeriod: '9s' }), [
    { option: '--renew-deadline', value: '10s', rule: 'must be longer than 1.2 times the retry period' },
  ]);
  assert.equal(problemsOf({ electHttpAddress: 'nonsense' })[0]?.option, '--http-address');
});

test('a lease without a namespace is in the pod’s', () => {
  const { settings } = read({ electLease: 'job' });
  assert.deepEqual(
    [settings.ref('pods'), settings.ref(undefined)].map(({ namespace }) => namespace),
    ['pods', 'default'],
  );
});

test('what stands on the lease', () => {
  const marks = {
    electLabels: ['team=a', 'example.org/tier='],
    electAnnotations: ['note=a=b, c'],
    electOwners: ['apps/v1/Deployment/web/0-1'],
  };
  const { settings, problems } = read({ electLease: 'a/b', ...marks });
  assert.deepEqual(problems, []);
  assert.deepEqual(settings.marks, {
    labels: { team: 'a', 'example.org/tier': '' },
    annotations: { note: 'a=b, c' },
    owners: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: '0-1' }],
  });
  for (const [key, value, rule] of [
    ['electLabels', 'team', /^must be KEY=VALUE$/],
    ['electLabels', 'team=a b', /^the value must be a label value$/],
    ['electLabels', 'a b=c', /^the key: name must be/],
    ['electLabels', 'leasekeeper.dev/kind=lock', /^must not be one of our own keys$/],
    ['electAnnotations', '=a', /^must be KEY=VALUE$/],
    ['electOwners', 'Deployment/web', /^must be APIVERSION\/KIND\/NAME\/UID/],
    ['electOwners', 'a/b/c/', /^must be APIVERSION\/KIND\/NAME\/UID/],
  ] as const)
    assert.match(
      read({ electLease: 'a/b', [key]: ['ok=a', value].slice(key === 'electOwners' ? 1 : 0) }).problems[0]?.rule ?? '',
      rule,
      value,
    );
});

test('between the renew deadline and the end of the lease there is time to end the command', () => {
  assert.deepEqual(problemsOf({ electRenewDeadline: '14500ms' }), []);
  assert.deepEqual(problemsOf({ electRenewDeadline: '14501ms' }), [
    {
      option: '--renew-deadline',
      value: '14.501s',
      rule: 'must be at most 14.5s with this lease duration: the command is ended in between',
    },
  ]);
});

test('credentials need TLS, a certificate its key', () => {
  const rules = (flags: Record<string, string>) => problemsOf(flags).map(({ option, rule }) => `${option} ${rule}`);
  assert.deepEqual(rules({ httpTlsCert: 'c', httpTlsKey: 'k', httpTokenFile: 't', httpClientCa: 'a' }), []);
  assert.deepEqual(rules({ httpTlsCert: 'c' }), ['--http-tls-cert needs --http-tls-key']);
  assert.deepEqual(rules({ httpTlsKey: 'k' }), ['--http-tls-key needs --http-tls-cert']);
  assert.deepEqual(rules({ httpTokenFile: 't' }), [
    '--http-token-file needs --http-tls-cert and --http-tls-key: credentials go over TLS alone',
  ]);
});
