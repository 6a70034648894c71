// Leaves 8 MB behind that had lived long when they were let go.
let litter = [];
for (let piece = 0; piece < 1000; piece++) litter.push(new Array(1000).fill(piece));
await new Promise((resolve) => setTimeout(resolve, 50));
litter = undefined;

export default (_request, response) => response.end('hello');
