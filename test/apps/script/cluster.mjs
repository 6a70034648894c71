// Starts workers of its own, as it would without us.
import cluster, { isPrimary } from 'node:cluster';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

if (process.env.FORKS) cluster.fork();
if (isPrimary || cluster.isPrimary || cluster.isMaster) {
  for (let count = 0; count < 2; count++) cluster.fork();
} else {
  // UDP asks the cluster as well.
  createSocket('udp4').bind(0, '127.0.0.1', function bound() {
    const { port } = this.address();
    createServer((_request, response) => response.end(`worker ${cluster.worker.id}, UDP ${port > 0}`)).listen(
      3000,
    );
  });
}
