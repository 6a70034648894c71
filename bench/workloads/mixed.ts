/**
 * Mostly quick, now and then hard work: 5 % of the requests, at random, burn 20 ms of their worker's CPU time. Whoever is
 * behind such a request in the same process waits, unless another process takes it; the slowest are those of the 5 % that
 * wait for others of them.
 */

import type { Workload } from '../model.ts';
import { hello } from './hello.ts';

export const mixed: Workload = {
  id: 'mixed',
  title: '5 % of requests burn 20 ms of CPU',
  method: 'GET',
  path: '/mixed',
  answer: hello.answer,
};
