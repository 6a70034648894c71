// Says which flags of V8 were set while it was there, after it has worked for as many milliseconds as it is asked to.
const v8 = process.getBuiltinModule('node:v8');
const set = [];
const { setFlagsFromString } = v8;
v8.setFlagsFromString = (flag) => {
  set.push(flag);
  setFlagsFromString(flag);
};

export default ({ url }, response) => {
  const end = performance.now() + Number(new URL(url, 'http://localhost').searchParams.get('working'));
  while (performance.now() < end);
  response.end(JSON.stringify(set));
};
