/** The app of logs.mjs, with a name of its own for the ids of requests. */
export { default } from './logs.mjs';
export const options = { requestIdLogLabel: 'rid' };
