// Leaves 8 MB behind that had lived long when they were let go. Answers as flags.mjs, whose flags it may forbid.
import flags from './flags.mjs';

if (process.env.NO_FLAGS) {
  const v8 = process.getBuiltinModule('node:v8');
  const { setFlagsFromString } = v8;
  v8.setFlagsFromString = (flag) => {
    if (flag.includes('gc')) throw new Error('no flags');
    setFlagsFromString(flag);
  };
}

let litter = [];
for (let piece = 0; piece < 1000; piece++) litter.push(new Array(1000).fill(piece));
await new Promise((resolve) => setTimeout(resolve, 50));
litter = undefined;

export default flags;
