/**
 * Refusals, in the words of a Kubernetes API server.
 *
 * Guarantees: every ApiError prints as a `v1` Status whose code, reason and details are what Kubernetes answers in the
 * same case; clients branch on those.
 */

interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

interface StatusDetails {
  readonly name?: string | undefined;
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly uid?: string | undefined;
  readonly causes?: readonly StatusCause[] | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** How a resource is named in messages and details. */
export interface ResourceName {
  readonly group: string;
  readonly resource: string;
  readonly kind: string;
}

interface ApiErrorOptions {
  /** Kubernetes' StatusReason, for instance `NotFound`. Left out for what is unknown to it (a plain 500). */
  readonly reason?: string;
  readonly details?: StatusDetails;
  /** Of the Status's list metadata: where a client may go on after 410. */
  readonly continue?: string;
}

/** What the server refuses. `status` is the HTTP status; `reason` the stable code to branch on. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string | undefined;
  readonly details: StatusDetails | undefined;
  readonly continue: string | undefined;

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message);
    this.status = status;
    this.reason = options.reason;
    this.details = options.details;
    this.continue = options.continue;
  }

  toJSON(): object {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.continue === undefined ? {} : { continue: this.continue },
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      details: this.details,
      code: this.status,
    };
  }
}

/** `leases.coordination.k8s.io`, or `nodes` in the core group. */
export const qualify = (name: string, group: string): string => (group === '' ? name : `${name}.${group}`);

const orNothing = (text: string): string | undefined => (text === '' ? undefined : text);

const aboutResource = (r: ResourceName, name: string): StatusDetails => ({
  name: orNothing(name),
  group: orNothing(r.group),
  kind: r.resource,
});

export const badRequest = (message: string): ApiError => new ApiError(400, message, { reason: 'BadRequest' });

export const unauthorized = (): ApiError => new ApiError(401, 'Unauthorized', { reason: 'Unauthorized' });

export const pathNotFound = (): ApiError =>
  new ApiError(404, 'the server could not find the requested resource', { reason: 'NotFound', details: {} });

export const methodNotAllowed = (): ApiError =>
  new ApiError(405, 'the server does not allow this method on the requested resource', {
    reason: 'MethodNotAllowed',
    details: {},
  });

export const notAcceptable = (served: string): ApiError =>
  new ApiError(406, `only the following media types are accepted: ${served}`, { reason: 'NotAcceptable', details: {} });

/** Of a media type that is served, but not in the form that is asked for. */
export const noSuchForm = (): ApiError =>
  new ApiError(406, 'the requested form of the resource is not served', { reason: 'NotAcceptable' });

export const unsupportedMediaType = (served: string, details?: StatusDetails): ApiError =>
  new ApiError(415, `the body of the request was in an unknown format - accepted media types include: ${served}`, {
    reason: 'UnsupportedMediaType',
    ...(details && { details }),
  });

export const unprocessable = (): ApiError =>
  new ApiError(422, 'the server rejected our request due to an error in our request', {
    reason: 'Invalid',
    details: {},
  });

export const tooLarge = (limit: number): ApiError =>
  new ApiError(413, `Request entity too large: limit is ${limit}`, { reason: 'RequestEntityTooLarge' });

export const notFound = (r: ResourceName, name: string): ApiError =>
  new ApiError(404, `${qualify(r.resource, r.group)} ${JSON.stringify(name)} not found`, {
    reason: 'NotFound',
    details: aboutResource(r, name),
  });

export const alreadyExists = (r: ResourceName, name: string, ending: boolean): ApiError =>
  new ApiError(
    409,
    `${ending ? 'object is being deleted: ' : ''}${qualify(r.resource, r.group)} ${JSON.stringify(name)} already exists`,
    {
      reason: 'AlreadyExists',
      details: aboutResource(r, name),
    },
  );

const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again';

export const conflict = (r: ResourceName, name: string, why = MODIFIED): ApiError =>
  new ApiError(409, `Operation cannot be fulfilled on ${qualify(r.resource, r.group)} "${name}": ${why}`, {
    reason: 'Conflict',
    details: aboutResource(r, name),
  });

/** A DELETE's precondition does not hold: it names the kind, where other conflicts name the resource. */
export const preconditionFailed = (r: ResourceName, name: string, why: string): ApiError =>
  new ApiError(409, `Operation cannot be fulfilled on ${qualify(r.kind, r.group)} "${name}": ${why}`, {
    reason: 'Conflict',
    details: { name, group: orNothing(r.group), kind: r.kind },
  });

export const forbidden = (r: ResourceName, name: string, why: string, causes?: readonly StatusCause[]): ApiError =>
  new ApiError(
    403,
    `${qualify(r.resource, r.group)}${name === '' ? '' : ` ${JSON.stringify(name)}`} is forbidden: ${why}`,
    {
      reason: 'Forbidden',
      details: { ...aboutResource(r, name), causes },
    },
  );

export const expired = (message: string, continueToken?: string): ApiError =>
  new ApiError(410, message, {
    reason: 'Expired',
    ...(continueToken === undefined ? {} : { continue: continueToken }),
  });

export const internal = (message: string): ApiError => new ApiError(500, message);

/** One field of an object that breaks a rule. */
export interface FieldError {
  readonly field: string;
  /** Kubernetes' CauseType, for instance `FieldValueInvalid`. */
  readonly reason: string;
  readonly message: string;
}

export const invalidValue = (field: string, value: unknown, rule: string): FieldError => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${rule}`,
});
export const requiredValue = (field: string, rule: string): FieldError => ({
  field,
  reason: 'FieldValueRequired',
  message: `Required value: ${rule}`,
});
export const forbiddenValue = (field: string, rule: string): FieldError => ({
  field,
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${rule}`,
});
export const unsupportedValue = (field: string, value: unknown, supported: readonly string[]): FieldError => ({
  field,
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((s) => `"${s}"`).join(', ')}`,
});

/** 422. `kind` is usually the object's kind; Kubernetes says the resource for a missing resourceVersion. */
export function invalid(group: string, kind: string, name: string, errors: readonly FieldError[]): ApiError {
  const texts = [...new Set(errors.map((e) => `${e.field}: ${e.message}`))];
  const all = texts.length === 1 ? (texts[0] as string) : `[${texts.join(', ')}]`;
  return new ApiError(422, `${qualify(kind, group)} ${JSON.stringify(name)} is invalid: ${all}`, {
    reason: 'Invalid',
    details: {
      name: orNothing(name),
      group: orNothing(group),
      kind: orNothing(kind),
      causes: errors.map(({ reason, message, field }) => ({ reason, message, field })),
    },
  });
}
