/** Counters of the requests answered, in Prometheus' text format and under kube-apiserver's names and labels. */
import type { RequestInfo } from './routes.ts';

const VERBS: Readonly<Record<string, string>> = {
  get: 'GET',
  list: 'LIST',
  watch: 'WATCH',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETECOLLECTION',
};

const escape = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

export class Metrics {
  readonly #requests = new Map<string, number>();

  /** A watch counts when it is answered, not when it ends. */
  count(info: RequestInfo, status: number, apply: boolean): void {
    const { verb, type, subresource, namespace, name } = info;
    // Paths that are no resource are not distinguished: they are the client's, and without bound.
    const scope = !type
      ? ''
      : name !== '' || verb === 'create'
        ? 'resource'
        : namespace === ''
          ? 'cluster'
          : 'namespace';
    const dryRun = type && info.query.has('dryRun') ? 'All' : '';
    const method = verb
      ? apply
        ? 'APPLY'
        : (VERBS[verb] as string)
      : KNOWN_METHODS.has(info.method)
        ? info.method
        : 'other';
    const labels =
      `code="${status}",component="apiserver",dry_run="${dryRun}",group="${type?.group ?? ''}",` +
      `resource="${type?.resource ?? ''}",scope="${scope}",subresource="${type ? escape(subresource) : ''}",` +
      `verb="${method}",version="${type?.version ?? ''}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
  }

  /** @param gauges further lines: name, labels, value */
  text(
    gauges: readonly (readonly [name: string, help: string, values: readonly (readonly [string, number])[]])[],
  ): string {
    const lines = [
      '# HELP apiserver_request_total Counter of apiserver requests.',
      '# TYPE apiserver_request_total counter',
      ...[...this.#requests].map(([labels, value]) => `apiserver_request_total{${labels}} ${value}`),
    ];
    for (const [name, help, values] of gauges) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
      for (const [labels, value] of values) lines.push(`${name}{${labels}} ${value}`);
    }
    return `${lines.join('\n')}\n`;
  }
}

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
