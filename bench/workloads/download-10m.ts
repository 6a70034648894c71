/** A file comes down: 160 chunks of 64 KiB zeros, as a stream whose length is not announced. */
import type { Workload } from '../model.ts';

export const download10m: Workload = {
  id: 'download-10m',
  title: 'streamed download of 10 MB',
  method: 'GET',
  path: '/download',
  answer: { status: 200, type: 'application/octet-stream', bytes: 160 * 65_536 },
};
