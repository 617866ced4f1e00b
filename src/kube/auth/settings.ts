/**
 * What is known of an API server and of who we are there: plain data, and the error for when it cannot be used.
 */

/** Branch on these, never on a message. */
export type KubeConfigErrorCode =
  /** Neither a kubeconfig nor a service account was found. */
  | 'NoConfiguration'
  /** The kubeconfig does not exist. */
  | 'FileNotFound'
  /** The kubeconfig is no YAML, or no UTF-8. */
  | 'InvalidYaml'
  /** A field has the wrong type or value. */
  | 'InvalidField'
  /** The kubeconfig names no current-context, and no context was given. */
  | 'NoCurrentContext'
  /** The kubeconfig has no context, cluster or user of the name that is asked for. */
  | 'ContextNotFound'
  | 'ClusterNotFound'
  | 'UserNotFound'
  /** The server's, or the proxy's, URL cannot be used. */
  | 'InvalidServer'
  | 'InvalidProxy'
  /** A kubeconfig, or a CA, certificate, key or token file, cannot be read. */
  | 'FileUnreadable'
  /** A CA, certificate or key is none, or the key belongs to another certificate. */
  | 'InvalidCertificate'
  /** A token file is empty, or a token cannot stand in a header. */
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

/** A command that makes credentials. */
export interface ExecSettings {
  /** A path, or a name that is looked up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly apiVersion: string;
  /** Whether it gets our standard input. */
  readonly interactiveMode: 'Never' | 'IfAvailable' | 'Always';
  /** What to do when the command is not there, for messages. */
  readonly installHint?: string | undefined;
  /** With `provideClusterInfo`: what the command is given of the cluster, but for the CA, which may lie in a file. */
  readonly cluster?: Readonly<Record<string, unknown>> | undefined;
}

/** An OpenID Connect provider that makes a new id-token of a refresh token. */
export interface OidcSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  readonly idToken?: string | undefined;
  readonly refreshToken?: string | undefined;
  readonly ca?: PemSource | undefined;
  /** Where the tokens stand, so that new ones can be written there: a kubeconfig file and the name of its user. */
  readonly stored?: { readonly file: string; readonly user: string } | undefined;
  /** The proxy for a URL of the provider. */
  readonly proxyFor: (url: URL) => string | undefined;
}

export interface UserSettings {
  readonly certificate?: PemSource | undefined;
  readonly key?: PemSource | undefined;
  readonly token?: string | undefined;
  /** Wins over `token`, which is used only until this file could be read for the first time. */
  readonly tokenFile?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly impersonate?:
    | {
        readonly user: string;
        readonly groups: readonly string[];
        readonly uid?: string | undefined;
        readonly extra: Readonly<Record<string, readonly string[]>>;
      }
    | undefined;
  readonly exec?: ExecSettings | undefined;
  readonly oidc?: OidcSettings | undefined;
}

export interface KubeSettings {
  /** Origin and path, without a trailing slash. */
  readonly server: string;
  readonly ca?: PemSource | undefined;
  /** Files of certificates that are trusted beside the machine's own where there is no CA: SSL_CERT_FILE and SSL_CERT_DIR. */
  readonly rootFiles?: readonly string[] | undefined;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string | undefined;
  readonly proxyUrl?: string | undefined;
  readonly user: UserSettings;
  /** The context's, or the pod's. */
  readonly namespace?: string | undefined;
  readonly context?: string | undefined;
  /** Where it was read, for messages: a file, or `service account`. */
  readonly source: string;
  /** The files that it was read from, and those that were not there. */
  readonly files?: readonly string[] | undefined;
}
