'use strict';
// Which events are in hand, and what is said about them?

const { unpack } = require('./frames');
const { Line } = require('./mesh');

const CREDITS = 64; // events in hand at most: nothing more is sent, the rest waits on the mesh's disk
const TOGETHER = 2; // milliseconds for which words are gathered

/** Thrown by `handle`: this event again, after so many seconds; 0 leaves the time to the mesh. */
class Retry extends Error {
  constructor(after, reason) {
    super(reason);
    this.after = after;
  }
}

/** Thrown by `handle`: nobody will ever handle this event. It becomes a dead letter with this reason. */
class Reject extends Error {}

/** What was delivered on one connection, and what became of it: pure, so that tests/ can ask it anything. */
class Session {
  constructor(granted) {
    this.granted = granted;
    this.last = 0; // number of the newest delivery
    this.through = 0; // all up to here is handled, or named in `failed`
    this.left = new Map(); // events of a delivery that are in hand still
    this.failed = [];
  }

  take(number, events) {
    this.last = number;
    this.left.set(number, events);
  }

  /** `failed`: {how, after, reason} for an event that was not handled. `again`: another may come for it. */
  done(number, place, failed, again = true) {
    if (failed) this.failed.push({ delivery: number, event: place, ...failed });
    const left = this.left.get(number) - 1;
    if (left) this.left.set(number, left);
    else this.left.delete(number);
    if (again) this.granted += 1;
  }

  /** What the mesh does not know yet. */
  settle() {
    const done = [];
    for (let number = this.through + 1; number <= this.last; number += 1) {
      if (this.left.has(number)) continue;
      if (number === this.through + 1) this.through = number;
      else done.push(number);
    }
    const said = { through: this.through, done, failed: this.failed, granted: this.granted };
    this.failed = [];
    return said;
  }
}

class Consumer {
  /** `wishes`: [{type, attempts, timeout}]; `handle(event)` resolves when the event is handled. */
  constructor(mesh, instance, wishes, handle) {
    this.handle = handle;
    this.types = new Set(wishes.map((wish) => wish.type));
    this.inHand = new Map(); // by id, over all connections
    this.handled = 0;
    this.stopping = false;
    this.session = new Session(CREDITS);
    this.line = new Line('consuming', {
      begin: () => this.begin(mesh, { instance, wishes }),
      hear: (frame) => this.take(frame),
      lost: () => this.lost(),
    });
    // The mesh gives an event to others when it hears nothing of it for `timeout` seconds.
    const timeout = Math.min(...wishes.map((wish) => wish.timeout));
    this.timer = setInterval(() => this.tellWorking(), (timeout * 1000) / 3);
  }

  begin(mesh, subscribe) {
    const granted = this.stopping ? 0 : CREDITS;
    const call = mesh.Consume();
    call.write({ subscribe: { ...subscribe, granted } });
    this.session = new Session(granted);
    return call;
  }

  take(frame) {
    const session = this.session;
    const { number } = frame.delivery;
    session.take(number, frame.data.length);
    for (const event of unpack(frame)) {
      // The manifest may name a type that is no wish: another version of this node may know it.
      const mine = !this.stopping && this.types.has(event.type);
      if (!mine) this.settled(session, number, event, { how: 'RELEASE' });
      else this.work(event).then((failed) => this.settled(session, number, event, failed));
    }
  }

  /** What is to be said of the event; nothing when it was handled. */
  work(event) {
    // Came again, on a new connection, while it is still in hand: one answer will do for both.
    const before = this.inHand.get(event.id);
    if (before) return before;
    const working = this.handle(event)
      .then(() => { this.handled += 1; })
      .catch(failure)
      .finally(() => this.inHand.delete(event.id));
    this.inHand.set(event.id, working);
    return working;
  }

  settled(session, number, event, failed) {
    session.done(number, event.place, failed, !this.stopping);
    // Numbers mean something only on the connection they came on.
    if (session !== this.session || this.planned) return;
    this.planned = setTimeout(() => this.settle(), TOGETHER);
  }

  settle(more = {}) {
    clearTimeout(this.planned);
    this.planned = null;
    if (this.line.call) this.line.call.write({ settle: { ...this.session.settle(), ...more } });
  }

  tellWorking() {
    const working = [...this.session.left.keys()];
    if (working.length) this.settle({ working });
  }

  lost() {
    clearTimeout(this.planned);
    this.planned = null;
    this.session = new Session(CREDITS); // the mesh gives what was in hand to somebody
  }

  /** Takes nothing more, finishes what is in hand, and says so. */
  async close() {
    this.stopping = true;
    clearInterval(this.timer);
    const away = this.line.call === null;
    // Without a mesh nobody would hear of it: the events come again, to another life.
    if (!away) await Promise.all(this.inHand.values());
    this.settle();
    await this.line.close();
  }
}

function failure(error) {
  if (error instanceof Reject) return { how: 'REJECT', reason: error.message };
  // Any other error may be gone next time: the mesh counts the attempts.
  return { how: 'RETRY', after: error.after || 0, reason: error.message };
}

module.exports = { Consumer, Session, Retry, Reject };
