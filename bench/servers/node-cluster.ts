/** Node's own `cluster`, in both of its ways to share a socket, with the same Fastify app. */
import type { Server } from '../model.ts';
import { addressOf, startProgram } from './own-node.ts';

function nodeCluster(policy: 'round-robin' | 'shared', title: string): Server {
  return {
    id: `cluster-${policy}`,
    title,
    endpoints: ['unix', 'tcp'],
    missing: () => undefined,
    start: (site) =>
      startProgram(site, 'cluster.mjs', [String(site.workers), policy, 'fastify', addressOf(site.endpoint)]),
  };
}

export const servers: readonly Server[] = [
  nodeCluster('round-robin', 'node:cluster, round-robin'),
  nodeCluster('shared', 'node:cluster, shared handle'),
];
