/** The two ways to come between a client and its API server: at TCP, and at HTTP. */
export * from './http-proxy.ts';
export * from './tcp-proxy.ts';
