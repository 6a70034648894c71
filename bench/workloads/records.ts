/**
 * Answers in JSON, as workloads expect them. Every app serialises these objects anew for each request; text and order
 * are as JSON.stringify has them, and numbers are whole, so that all languages agree.
 */
import type { Workload } from '../model.ts';

/** So many records of about 100 bytes each. */
export const records = (count: number) => ({
  items: Array.from({ length: count }, (_, index) => ({
    id: index,
    name: `item ${index}`,
    price: 100 + index,
    isInStock: index % 3 === 0,
    tags: ['small', 'green'],
    owner: 'somebody',
  })),
});

/** A right answer with this object. */
export function json(value: object): Workload['answer'] {
  const body = JSON.stringify(value);
  return { status: 200, type: 'application/json', bytes: Buffer.byteLength(body), body };
}
