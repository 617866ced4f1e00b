/**
 * What one endpoint answers, apart from any socket.
 */
export interface HttpAnswer {
  readonly status: number;
  /** The media type of the body. */
  readonly type: string;
  /** In pieces where some of them serve many answers: each is kept once, however many readers it has. */
  readonly body: string | readonly (string | Buffer)[];
  /** Besides those that every answer has. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** An endpoint. Errors it throws are bugs: the client gets 500 and no word of them. */
export type Endpoint = (query: URLSearchParams) => HttpAnswer | Promise<HttpAnswer>;

export const text = (status: number, body: string): HttpAnswer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
});

export const json = (status: number, document: unknown): HttpAnswer => ({
  status,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(document)}\n`,
});
