/** The answers of faults that answer without asking the API. */
import { errorResponse } from '../api.ts';
import type { ApiResponse } from '../api.ts';
import { ApiError, conflict } from '../status-errors.ts';
import type { Fault } from './fault-rules.ts';
import { RESOURCES } from '../objects/resources.ts';
import type { RequestInfo } from '../routes.ts';

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

type Answering = Extract<Fault, { type: 'conflict' | 'too-many-requests' | 'status' }>;

export function faultResponse(fault: Answering, info: RequestInfo): ApiResponse {
  if (fault.type === 'conflict') return errorResponse(conflict(info.type ?? LEASES, info.name));
  if (fault.type === 'too-many-requests') {
    const { retryAfterSeconds } = fault;
    const details = retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } };
    const message = 'Too many requests, please try again later.';
    return errorResponse(new ApiError(429, message, { reason: 'TooManyRequests', ...details }));
  }
  const { code, body, headers = {} } = fault;
  const reason = fault.reason ?? REASONS[code];
  const message = fault.message ?? `injected fault: ${code}`;
  const status = errorResponse(new ApiError(code, message, reason === undefined ? {} : { reason }));
  const text = body === undefined ? status.body : typeof body === 'string' ? body : JSON.stringify(body);
  const contentType = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  return { status: code, contentType, headers, body: text };
}

const LEASES = RESOURCES[0] as (typeof RESOURCES)[number];
