// Answers within the event by which it hears of a request, with nothing awaited in between.
export default (_request, response) => response.end('x');
