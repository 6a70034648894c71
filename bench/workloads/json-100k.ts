/** A list without pages: a thousand records, where the app's own work is what counts. */
import type { Workload } from '../model.ts';
import { json, records } from './records.ts';

export const json100k: Workload = {
  id: 'json-100k',
  title: '100 KB of JSON',
  method: 'GET',
  path: '/json/100k',
  answer: json(records(1000)),
};
