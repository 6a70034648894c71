// Says which flags of V8 were set while it was there.
const v8 = process.getBuiltinModule('node:v8');
const set = [];
const { setFlagsFromString } = v8;
v8.setFlagsFromString = (flag) => {
  set.push(flag);
  setFlagsFromString(flag);
};

export default (_request, response) => response.end(JSON.stringify(set));
