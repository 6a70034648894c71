/** An app that waits for a database: 10 ms, in which its process is free for others. */

import type { Workload } from '../model.ts';
import { hello } from './hello.ts';

export const wait10ms: Workload = {
  id: 'wait-10ms',
  title: 'a handler that awaits 10 ms',
  method: 'GET',
  path: '/wait',
  answer: hello.answer,
};
