// Leaves 8 MB behind that had lived long when they were let go. Says which flags of V8 were set while it was there.
const v8 = process.getBuiltinModule('node:v8');
const set = [];
const { setFlagsFromString } = v8;
v8.setFlagsFromString = (flag) => {
  if (process.env.NO_FLAGS && flag.includes('gc')) throw new Error('no flags');
  set.push(flag);
  setFlagsFromString(flag);
};

let litter = [];
for (let piece = 0; piece < 1000; piece++) litter.push(new Array(1000).fill(piece));
await new Promise((resolve) => setTimeout(resolve, 50));
litter = undefined;

export default (_request, response) => response.end(JSON.stringify(set));
