'use strict';
// What does this node do? It answers every `echo.asked` with an `echo.answered`: the same text, when it is time.

const fs = require('node:fs');
const http = require('node:http');
const { connect } = require('./mesh');
const { Publisher } = require('./publisher');
const { Consumer, Retry, Reject } = require('./consumer');

const { NODED_NODE, NODED_INSTANCE, NODED_VERSION, NODED_MESH, NODED_LISTEN } = process.env;
const STOP_TIMEOUT = Number(process.env.NODED_STOP_TIMEOUT || 10);

const mesh = connect(NODED_MESH);
const publisher = new Publisher(mesh, {
  instance: NODED_INSTANCE,
  source: `/${NODED_NODE}`,
  version: NODED_VERSION,
});
const consumer = new Consumer(mesh, NODED_INSTANCE, [{ type: 'echo.asked', attempts: 3, timeout: 10 }], answer);

/** Handled when it resolves: only then is the answer on disk, so that none is missing whatever ends in between. */
async function answer(event) {
  const asked = read(event);
  const wait = (asked.at || 0) - Date.now() / 1000;
  if (wait > 0) throw new Retry(wait, `not before ${asked.at}`);
  const data = JSON.stringify({ text: asked.text, attempt: event.attempt });
  await publisher.publish({ type: 'echo.answered', subject: event.subject, data, cause: event });
}

function read(event) {
  let asked;
  try {
    asked = JSON.parse(event.data);
  } catch (error) {
    throw new Reject(`$: expected JSON: ${error.message}`);
  }
  if (asked === null || typeof asked !== 'object' || !('text' in asked)) {
    throw new Reject('$.text: expected a text to answer with, found none');
  }
  return asked;
}

/** Ready as soon as it answers here: a node must be able to start while the mesh is away. */
const server = http.createServer((request, response) => {
  const connected = Boolean(publisher.answered && consumer.line.call);
  response.setHeader('Content-Type', 'application/json');
  response.end(`${JSON.stringify({ connected, handled: consumer.handled, inHand: consumer.inHand.size })}\n`);
});

function listen(address) {
  const [host, port] = [address.slice(0, address.lastIndexOf(':')), address.slice(address.lastIndexOf(':') + 1)];
  if (host !== 'unix') return server.listen(Number(port), host);
  fs.rmSync(port, { force: true }); // of a life that was killed
  // The proxy and noded come as users of the socket's group.
  return server.listen(port, () => fs.chmodSync(port, 0o660));
}

async function stop() {
  setTimeout(() => process.exit(1), STOP_TIMEOUT * 900).unref();
  await consumer.close();
  await publisher.line.close();
  server.close();
  process.exit(0);
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
if (NODED_LISTEN) listen(NODED_LISTEN);
publisher.line.open();
consumer.line.open();
