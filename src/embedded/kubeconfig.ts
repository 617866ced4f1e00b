/** A kubeconfig for one server without TLS, as YAML. */
export function kubeconfigFor(url: string, token: string | undefined): string {
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    '- name: embedded',
    '  cluster:',
    `    server: ${url}`,
    'users:',
    '- name: embedded',
    token === undefined ? '  user: {}' : `  user:\n    token: ${JSON.stringify(token)}`,
    'contexts:',
    '- name: embedded',
    '  context:',
    '    cluster: embedded',
    '    user: embedded',
    'current-context: embedded',
    '',
  ].join('\n');
}
