/**
 * undici's Client without the rest of undici (fetch, caches, mocks), which costs about 40 ms of CPU and 5 MB at start.
 * The path is undici's own and the lockfile pins its version.
 */
declare module 'undici/lib/dispatcher/client.js' {
  import { Client } from 'undici';
  export default Client;
}
