// Leaves 8 MB behind that had lived long when they were let go. Answers as flags.mjs, some of whose flags it may
// forbid, and note in the file that REFUSED names.
import { writeFileSync } from 'node:fs';
import flags from './flags.mjs';

const { REFUSED } = process.env;
if (REFUSED) {
  const v8 = process.getBuiltinModule('node:v8');
  const { setFlagsFromString } = v8;
  v8.setFlagsFromString = (flag) => {
    if (flag.includes('gc')) {
      writeFileSync(REFUSED, flag);
      throw new Error('no flags');
    }
    setFlagsFromString(flag);
  };
}

let litter = [];
for (let piece = 0; piece < 1000; piece++) litter.push(new Array(1000).fill(piece));
await new Promise((resolve) => setTimeout(resolve, 50));
litter = undefined;

export default flags;
