// A (req, res) listener that says which HTTP it was asked by.
export default (request, response) => {
  response.end(`${request.httpVersion} ${request.url} ${Boolean(request.socket.encrypted)}`);
};
