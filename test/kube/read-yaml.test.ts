import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { parseDocument } from 'yaml';
import { YAML_OPTIONS, plainYaml } from '../../src/kube/auth/read-yaml.ts';

/** What the whole reader says; undefined where it finds an error. */
function whole(text: string): unknown {
  const document = parseDocument(text, YAML_OPTIONS);
  return document.errors.length > 0 ? undefined : document.toJS();
}

const KUBECTL = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
    server: https://10.0.0.1:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    namespace: kube-system
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
preferences: {}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
    client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo=
`;
const EXEC = `# by hand
apiVersion: v1
kind: Config
clusters:
  - name: arn:aws:eks:eu-west-1:123456789012:cluster/prod
    cluster:
      server: "https://ABC.gr7.eu-west-1.eks.amazonaws.com"
      insecure-skip-tls-verify: false
contexts: []
users:
  - name: 'arn:aws:eks:eu-west-1:123456789012:cluster/prod'
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: aws
        args:
        - --region
        - eu-west-1
        - eks
        - get-token
        - -i
        env:
          - name: AWS_PROFILE
            value: prod
        interactiveMode: IfAvailable
        provideClusterInfo: false
        installHint: Install aws (see https://example.com/a,b)
        env2: null
        none:
`;

test('what tools write is understood, and means what the whole reader says', () => {
  const json = JSON.stringify(
    { kubeconfig: whole(KUBECTL), list: [{ '': 'a "b": c\\' }, [], [{ a: {} }], 'x:'] },
    null,
    2,
  );
  for (const text of [KUBECTL, EXEC, `---\n${KUBECTL}`, JSON.stringify(whole(KUBECTL)), json]) {
    assert.notEqual(plainYaml(text), undefined, text);
    assert.deepEqual(plainYaml(text), whole(text));
  }
});

test('what needs a whole reader is left to it', () => {
  for (const text of [
    'a: 12',
    'a: "x\\n"',
    'a: &x b',
    'a: *x',
    'a: |\n  b',
    'a: {b: c}',
    'a: [b]',
    'a: b # c',
    'a: b: c',
    'a: b\n  c',
    'a: b\na: c',
    'a:\tb',
    '\ta: b',
    'a: b\r\nc: d',
    'a: ~',
    'a: !!str b',
    '<<: b',
    '__proto__: b',
    '{"a":1',
    '{"__proto__":1}',
    '{"a":{"<<":{"b":1}}}',
    'a: yes',
    'a: 0b1',
    'no: a',
    `${'k'.repeat(1100)}: a`,
    'a: b\n---\nc: d',
    '? a\n: b',
    'a: -',
    'a: 2026-01-01',
    'a: True',
    'a:\n   b: c\n  d: e',
    'true: a',
    '- - a',
    'a: b\n...\n',
    '%YAML 1.2\n---\na: b',
    '',
  ]) {
    assert.equal(plainYaml(text), undefined, text);
  }
});

// Pieces that YAML gives a meaning to, and lines of files as they are, put together in every order.
const piece = fc.constantFrom(
  ...[
    'a',
    'b1',
    '-',
    '--',
    '- ',
    ' ',
    '  ',
    '\n',
    '\n  ',
    '\n- ',
    '\n  - ',
    ': ',
    ':',
    'a: ',
    '\nb: ',
    '"',
    "'",
    '#',
    ' #',
  ],
  ...[
    '{}',
    '[]',
    ',',
    '.',
    '/',
    '0',
    '1e3',
    '0x1',
    '+',
    '~',
    'null',
    'true',
    'Yes',
    '=',
    '@',
    '%',
    '&',
    '*',
    '!',
    '|',
    '>',
  ],
  ...['---', '...', '?', '\t', '\r', '\\', 'é', '\u00a0', '\ufeff', '(', ')', '_', '<<', '.inf', '1:2', '2026-01-01'],
);
const lines = fc.constantFrom(...`${KUBECTL}${EXEC}`.split('\n').map((line) => `${line}\n`));

test('property: whatever it understands means the same to the whole reader', () => {
  let understood = 0;
  fc.assert(
    fc.property(fc.array(fc.oneof({ weight: 3, arbitrary: piece }, lines), { maxLength: 14 }), (parts) => {
      const text = parts.join('');
      const quick = plainYaml(text);
      if (quick === undefined) return;
      understood++;
      assert.deepEqual(quick, whole(text), JSON.stringify(text));
    }),
    { numRuns: 20_000 },
  );
  assert.ok(understood > 200, String(understood));
});
