/** A file goes up: its bytes (application/octet-stream) are read to the end, and counted. */
import type { Workload } from '../model.ts';
import { json } from './records.ts';

const bytes = 1024 * 1024;

export const upload1m: Workload = {
  id: 'upload-1m',
  title: 'upload of 1 MB',
  method: 'POST',
  path: '/upload',
  upload: bytes,
  answer: json({ bytes }),
};
