/** An answer as an API has it: ten records. */
import type { Workload } from '../model.ts';
import { json, records } from './records.ts';

export const json1k: Workload = {
  id: 'json-1k',
  title: '1 KB of JSON',
  method: 'GET',
  path: '/json/1k',
  answer: json(records(10)),
};
