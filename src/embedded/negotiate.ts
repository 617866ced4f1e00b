/** In which form, and which media type, a client wants to read what it asked for. */
import { noSuchForm, notAcceptable } from './status-errors.ts';

export interface View {
  readonly as: 'object' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  /** Of meta.k8s.io, for what is no object. */
  readonly version: string;
  readonly media: 'json' | 'yaml' | 'protobuf';
}

export const PROTOBUF = 'application/vnd.kubernetes.protobuf';
export const CONTENT_TYPES: Readonly<Record<View['media'], string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: PROTOBUF,
};
const MEDIA = new Map<string, View['media']>([
  ['*/*', 'json'],
  ['application/json', 'json'],
  ['application/yaml', 'yaml'],
  [PROTOBUF, 'protobuf'],
]);

const OBJECT: View = { as: 'object', version: 'v1', media: 'json' };

/** A media range, and what is asked of it. */
interface Range {
  readonly medium: View['media'] | undefined;
  readonly parameters: ReadonlyMap<string, string>;
}

/** By their quality, then as they stand. */
function rangesOf(accept: string): Range[] {
  const ranges = accept.split(',').map((range) => {
    const [type = '', ...rest] = range.split(';').map((part) => part.trim());
    const parameters = new Map(rest.map((part) => part.split('=') as [string, string]));
    return { medium: MEDIA.get(type), parameters, quality: Number(parameters.get('q') ?? 1) };
  });
  return ranges.sort((a, b) => b.quality - a.quality);
}

const FORMS: readonly View['as'][] = ['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList'];

/**
 * The first form asked for that is served.
 * @param media those that the resource can be shown in
 * @param stream whether many objects are to be sent, one after another
 * @throws ApiError 406
 */
export function negotiate(accept: string | undefined, media: readonly View['media'][], stream = false): View {
  if (accept === undefined || accept === '' || accept === '*/*' || accept === 'application/json') return OBJECT;
  const ranges = rangesOf(accept).filter(({ medium }) => medium !== undefined && media.includes(medium));
  if (ranges.length === 0) throw notAcceptable(media.map((m) => CONTENT_TYPES[m]).join(', '));
  for (const { medium = 'json', parameters } of ranges) {
    if ((parameters.get('stream') ?? 'watch') !== 'watch') continue;
    if (stream && medium === 'yaml') break;
    const form = parameters.get('as');
    if (form === undefined) return { ...OBJECT, media: medium };
    const [as, version] = [FORMS.find((f) => f === form), parameters.get('v')];
    const served = parameters.get('g') === 'meta.k8s.io' && (version === 'v1' || version === 'v1beta1');
    if (as && served && medium !== 'protobuf') return { as, version, media: medium };
  }
  throw noSuchForm();
}
