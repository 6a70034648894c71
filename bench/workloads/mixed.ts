/**
 * Mostly quick, now and then hard work: the first of each 20 requests that a worker gets burns 20 ms of its CPU time.
 * Whoever is behind such a request in the same process waits, unless another process takes it.
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
