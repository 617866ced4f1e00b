/**
 * What is known of an API server and of who we are there: plain data, and the error for when it cannot be used.
 */

/** Branch on these, never on a message. */
export type KubeConfigErrorCode =
  /** Neither a kubeconfig nor a service account was found. */
  | 'NoConfiguration'
  /** The kubeconfig does not exist or cannot be read. */
  | 'FileNotFound'
  | 'InvalidYaml'
  /** A field has the wrong type or value. */
  | 'InvalidField'
  | 'NoCurrentContext'
  | 'ContextNotFound'
  | 'ClusterNotFound'
  | 'UserNotFound'
  | 'InvalidServer'
  | 'InvalidProxy'
  /** A CA, certificate, key or token file cannot be read. */
  | 'FileUnreadable'
  /** A CA, certificate or key is none, or the key belongs to another certificate. */
  | 'InvalidCertificate'
  | 'InvalidToken';

/** The configuration cannot be used. `file` and `field` say where, as far as there is one. */
export class KubeConfigError extends Error {
  override readonly name = 'KubeConfigError';
  readonly code: KubeConfigErrorCode;
  readonly file: string | undefined;
  readonly field: string | undefined;
  constructor(
    code: KubeConfigErrorCode,
    message: string,
    where: { file?: string | undefined; field?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, where.cause === undefined ? undefined : { cause: where.cause });
    this.code = code;
    this.file = where.file;
    this.field = where.field;
  }
}

/** PEM, from the text of the configuration or from a file that may rotate. Inline data wins where both are given. */
export interface PemSource {
  readonly data?: string | undefined;
  readonly file?: string | undefined;
  /** The field, for messages. */
  readonly field: string;
}

export interface UserSettings {
  readonly certificate?: PemSource | undefined;
  readonly key?: PemSource | undefined;
  readonly token?: string | undefined;
  /** Wins over `token`, which is used only until this file could be read for the first time. */
  readonly tokenFile?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly impersonate?: {
    readonly user: string;
    readonly groups: readonly string[];
    readonly uid?: string | undefined;
    readonly extra: Readonly<Record<string, readonly string[]>>;
  };
  /** The kubeconfig's own object: client-node reads it. */
  readonly exec?: Readonly<Record<string, unknown>> | undefined;
  /** The kubeconfig's own object: client-node reads it. */
  readonly authProvider?: Readonly<Record<string, unknown>> | undefined;
}

export interface KubeSettings {
  /** Origin and path, without a trailing slash. */
  readonly server: string;
  readonly ca?: PemSource | undefined;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string | undefined;
  readonly proxyUrl?: string | undefined;
  readonly user: UserSettings;
  /** The context's, or the pod's. */
  readonly namespace?: string | undefined;
  readonly context?: string | undefined;
  /** Where it was read, for messages: a file, or `service account`. */
  readonly source: string;
}
