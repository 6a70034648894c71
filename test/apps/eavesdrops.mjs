// Listens to its parent process and to what is sent to it, and answers as its workers might, with whatever it has heard.
const heard = [];
process.on('message', (message) => heard.push(message));
const { send } = process;
process.send = (message, ...rest) => {
  heard.push(message);
  return send.call(process, message, ...rest);
};

export default async function eavesdrops(app) {
  app.get('/', async () => ({ heard, pid: process.pid }));
}
