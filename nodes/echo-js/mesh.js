'use strict';
// How is a line to noded-mesh opened, and opened again for as long as it is wanted?

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const FIRST_PAUSE = 50; // milliseconds; doubled with each try that fails
const LONGEST_PAUSE = 1000;
const OPTIONS = {
  // A mesh that is frozen, and not ended, is found after 10 s.
  'grpc.keepalive_time_ms': 5000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.initial_reconnect_backoff_ms': FIRST_PAUSE,
  'grpc.min_reconnect_backoff_ms': FIRST_PAUSE,
  'grpc.max_reconnect_backoff_ms': LONGEST_PAUSE,
};

/** Stubs made from mesh.proto when the program starts. `address`: "unix:/path", as in NODED_MESH. */
function connect(address) {
  if (!/^unix:\/./.test(address || '')) {
    throw new Error(`NODED_MESH: expected "unix:/path", got ${JSON.stringify(address)}: is there ` +
      'a [[consumes]] or [[publishes]] in node.toml?');
  }
  const read = loader.loadSync(path.join(__dirname, 'mesh.proto'), {
    keepCase: true, // head.first stays head.first, through stays through
    longs: Number, // whole numbers are exact up to 2^53
    enums: String,
    defaults: true,
  });
  const { Mesh } = grpc.loadPackageDefinition(read).nodeapi.v1;
  return new Mesh(address, grpc.credentials.createInsecure(), OPTIONS);
}

/**
 * One call that is made again whenever it ends. `begin()` makes the call and says the first message;
 * `hear(message)` gets what comes, `lost()` is told of every end.
 */
class Line {
  constructor(name, { begin, hear, lost }) {
    this.name = name;
    this.begin = begin;
    this.hear = hear;
    this.lost = lost;
    this.call = null;
    this.pause = FIRST_PAUSE;
    this.closing = false;
    this.said = '';
    this.ended = new Promise((resolve) => { this.over = resolve; });
  }

  open() {
    const call = this.begin();
    this.call = call;
    call.on('data', (message) => {
      this.pause = FIRST_PAUSE;
      this.said = '';
      this.hear(message);
    });
    call.on('error', () => {}); // the status says it as well
    call.on('status', (status) => this.end(status.details));
  }

  end(why) {
    this.call = null;
    this.lost();
    if (this.closing) {
      this.over();
      return;
    }
    if (why !== this.said) console.error(`${this.name}: ${why || 'the mesh ended the call'}; trying again`);
    this.said = why;
    // Hundreds of nodes come back to a mesh that was restarted: not all at the same moment.
    this.timer = setTimeout(() => this.open(), this.pause * (0.5 + Math.random() / 2));
    this.pause = Math.min(LONGEST_PAUSE, 2 * this.pause);
  }

  /** Says that nothing more comes, and waits for what the mesh still says. */
  close() {
    this.closing = true;
    if (this.call) {
      this.call.end();
    } else {
      clearTimeout(this.timer);
      this.over();
    }
    return this.ended;
  }
}

module.exports = { connect, Line };
