import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { makeCertificate } from '../../src/embedded/certificates.ts';
import type { Certificate } from '../../src/embedded/certificates.ts';

/** A handshake over loopback. @returns what the client makes of the server's certificate, and the server of the client's */
async function shake(server: Certificate, ca: string, servername: string, client?: Certificate): Promise<string> {
  const listener = createServer({
    cert: server.cert,
    key: server.key,
    ca,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const accepted = once(listener, 'secureConnection');
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const identity = client && { cert: client.cert, key: client.key };
  const socket = connect({ port, host: '127.0.0.1', ca, servername, rejectUnauthorized: false, ...identity });
  try {
    await once(socket, 'secureConnect');
    const [peer] = (await accepted) as [{ authorized: boolean }];
    const { authorizationError } = socket as unknown as { authorizationError: string | null };
    return `${authorizationError ?? 'trusted'}, client ${peer.authorized ? 'trusted' : 'unknown'}`;
  } finally {
    socket.destroy();
    listener.close();
  }
}

for (const keyType of ['ec', 'rsa'] as const) {
  test(`certificates with ${keyType} keys: of their own, by an authority, of a client, out of their time`, async () => {
    const own = makeCertificate({ subject: 'own', names: ['localhost', '127.0.0.1', '::1', '2001:db8::5'], keyType });
    assert.equal(await shake(own, own.cert, 'localhost'), 'trusted, client unknown');
    assert.match(await shake(own, own.cert, 'other.example'), /^ERR_TLS_CERT_ALTNAME_INVALID/);
    const read = new X509Certificate(own.cert);
    for (const ip of ['127.0.0.1', '::1', '2001:db8::5']) assert.equal(read.checkIP(ip), ip);

    const issuer = makeCertificate({ subject: 'authority', authority: true, keyType });
    const server = makeCertificate({ subject: 'server', names: ['a.example'], issuer });
    const client = makeCertificate({ subject: 'me', organization: 'system:masters', issuer, keyType });
    assert.equal(await shake(server, issuer.cert, 'a.example', client), 'trusted, client trusted');
    assert.match(new X509Certificate(client.cert).subject, /O=system:masters\nCN=me/);
    assert.match(await shake(server, own.cert, 'a.example'), /^UNABLE_TO_VERIFY_LEAF_SIGNATURE/);

    const ended = makeCertificate({ subject: 'old', names: ['a.example'], issuer, until: Date.now() - 1000 });
    assert.match(await shake(ended, issuer.cert, 'a.example'), /^CERT_HAS_EXPIRED/);
  });
}
