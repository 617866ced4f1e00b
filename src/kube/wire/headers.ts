/**
 * The header fields of requests, made once for each credentials and kind of request.
 */
import type { Credentials } from '../auth/material.ts';

interface HeaderWishes {
  readonly body?: unknown;
  readonly contentType?: string | undefined;
  readonly accept?: string | undefined;
}

/** name, value, name, value … */
export function createHeaders(
  userAgent: string,
  proxyAuthorization?: string,
): (current: Credentials, request: HeaderWishes) => string[] {
  const common = ['accept', 'application/json', 'user-agent', userAgent];
  if (proxyAuthorization !== undefined) common.push('proxy-authorization', proxyAuthorization);
  let sets: { of: Credentials; read: string[]; write: string[] } | undefined;
  return (current, request) => {
    if (sets?.of !== current) {
      const read = [...common, ...current.headers];
      sets = { of: current, read, write: [...read, 'content-type', 'application/json'] };
    }
    if (request.body === undefined) {
      return request.accept === undefined ? sets.read : ['accept', request.accept, ...sets.read.slice(2)];
    }
    return request.contentType === undefined ? sets.write : [...sets.read, 'content-type', request.contentType];
  };
}
