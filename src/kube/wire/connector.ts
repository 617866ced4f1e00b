/**
 * Opens sockets to the server, directly or through a proxy, with TLS where the server's URL says so.
 *
 * Guarantees: one TLS context and one cached session for all connections; the certificate must hold the name or the address
 * that was asked for, not only call itself so; each attempt ends after `connectTimeoutMs`; an attempt that is given up
 * leaves no socket and no timer.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { SecureContext, ConnectionOptions } from 'node:tls';
import type { buildConnector } from 'undici';
import type { Clock } from '../../runtime/clock.ts';
import { bare, openTunnel } from './proxy.ts';

/** Milliseconds. As client-go: keeps load balancers, many of which forget a silent connection after 60 s, from doing so. */
export const TCP_KEEPALIVE_MS = 30_000;

interface ConnectorOptions {
  readonly server: URL;
  readonly secureContext: SecureContext | undefined;
  readonly serverName?: string | undefined;
  readonly insecureSkipTlsVerify: boolean;
  readonly proxy?: URL | undefined;
  readonly connectTimeoutMs: number;
  readonly clock: Clock;
}

/** Whom TLS must find at the other end: of a proxy it is the same, as in Go, but for its name. */
function tlsIdentity(
  name: string,
  { secureContext, insecureSkipTlsVerify }: Pick<ConnectorOptions, 'secureContext' | 'insecureSkipTlsVerify'>,
): ConnectionOptions {
  const wanted = bare(name).replace(/\.$/, '');
  return {
    ...(secureContext && { secureContext }),
    // An address is no name to ask for, but the certificate must hold it.
    ...(net.isIP(wanted) === 0 && { servername: wanted }),
    rejectUnauthorized: !insecureSkipTlsVerify,
    checkServerIdentity: (_, certificate) => tls.checkServerIdentity(wanted, withoutCommonName(certificate)),
  };
}

/** Node falls back to the subject's common name where a certificate holds no names; Go and browsers do not. */
const withoutCommonName = (certificate: tls.PeerCertificate): tls.PeerCertificate =>
  certificate.subjectaltname === undefined
    ? { ...certificate, subject: { ...certificate.subject, CN: '' } }
    : certificate;

export interface Connector {
  /** Opens a socket; the function returned gives the attempt up, and does nothing once it has ended. */
  open(callback: buildConnector.Callback): () => void;
}

export function createConnector(options: ConnectorOptions): Connector {
  const { server, clock } = options;
  const secure = server.protocol === 'https:';
  const host = bare(server.hostname);
  const port = server.port === '' ? (secure ? 443 : 80) : Number(server.port);
  const identity = tlsIdentity(options.serverName ?? host, options);
  let session: Buffer | undefined;

  const open = (callback: buildConnector.Callback): (() => void) => {
    const parts = new Set<{ destroy(): unknown }>();
    let settled = false;
    const finish = (error: Error | null, socket?: net.Socket): void => {
      if (settled) return;
      settled = true;
      cancel();
      if (error === null && socket !== undefined) callback(null, socket);
      else {
        for (const part of parts) part.destroy();
        callback(error ?? new Error('no socket'), null);
      }
    };
    const stop = (): void => finish(new Error('closed while connecting'));
    const cancel = clock.schedule(options.connectTimeoutMs, () =>
      finish(new Error(`no connection within ${options.connectTimeoutMs} ms`)),
    );
    const register = (part: net.Socket | { destroy(): unknown }): void => {
      parts.add(part);
      // An error after the attempt was given up has nobody left to hear it.
      if (part instanceof net.Socket) part.on('error', (error) => finish(error));
      if (settled) part.destroy();
    };
    const ready = (socket: net.Socket): void => {
      socket.setNoDelay(true).setKeepAlive(true, TCP_KEEPALIVE_MS);
      finish(null, socket);
    };
    const start = (tunnel: net.Socket | undefined): void => {
      if (!secure) {
        const socket = tunnel ?? net.connect({ host, port });
        register(socket);
        // What a tunnel was opened with has paused it.
        if (tunnel) ready(socket.resume());
        else socket.once('connect', () => ready(socket));
        return;
      }
      const tlsOptions: ConnectionOptions = { ...identity, host, port, ALPNProtocols: ['http/1.1'] };
      if (session) tlsOptions.session = session;
      if (tunnel) tlsOptions.socket = tunnel;
      const socket = tls.connect(tlsOptions);
      socket.on('session', (fresh) => (session = fresh));
      register(socket);
      socket.once('secureConnect', () => ready(socket));
      // A peer that closes during the handshake raises no error of its own.
      socket.once('close', () => finish(new Error('closed during the TLS handshake')));
    };
    if (!options.proxy) start(undefined);
    else {
      const proxyIdentity = tlsIdentity(options.serverName ?? bare(options.proxy.hostname), options);
      openTunnel(options.proxy, proxyIdentity, { host, port }, register, (error, socket) => {
        if (settled) socket?.destroy();
        else if (error || !socket) finish(error ?? new Error('no tunnel'));
        else start(socket);
      });
    }
    return stop;
  };
  return { open };
}
