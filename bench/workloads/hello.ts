/** The least that an app can answer: what a server costs, and nothing else. */
import type { Workload } from '../model.ts';
import { json } from './records.ts';

export const hello: Workload = {
  id: 'hello',
  title: 'hello world, JSON',
  method: 'GET',
  path: '/',
  answer: json({ hello: 'world' }),
};
