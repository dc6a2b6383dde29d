'use strict';
// How do events get to the mesh, and how does their publisher learn that they are on disk?

const { randomBytes } = require('node:crypto');
const { pack, fits, LONGEST_EVENT } = require('./frames');
const { Line } = require('./mesh');

/** The mesh did not take an event; the text says what was wrong, where, and what was expected. */
class Refused extends Error {}

class Publisher {
  /** `me`: {instance, source, version} */
  constructor(mesh, me) {
    this.instance = me.instance;
    // A stream is one life of one publisher: its sequences go on over all connections.
    this.head = { source: me.source, version: me.version, stream: `${me.instance}-${randomBytes(4).toString('hex')}` };
    this.next = 1;
    this.open = []; // events that are in no frame yet
    this.openBytes = 0;
    this.frames = []; // made, and not on disk as far as we know
    this.refused = new Map(); // reasons by sequence
    this.waiting = '';
    this.lost();
    this.line = new Line('publishing', {
      begin: () => this.begin(mesh),
      hear: (published) => this.hear(published),
      lost: () => this.lost(),
    });
  }

  /** `event`: {type, subject, data, cause}. Its id, once it is on disk. Rejects with Refused. */
  publish(event) {
    const data = Buffer.from(event.data);
    if (data.length > LONGEST_EVENT) {
      return Promise.reject(new Refused(`expected at most ${LONGEST_EVENT} bytes, found ${data.length}`));
    }
    return new Promise((resolve, reject) => {
      const size = data.length + Buffer.byteLength(event.subject);
      if (!fits(this.open.length, this.openBytes, size)) this.seal();
      this.open.push({ ...event, data, resolve, reject });
      this.openBytes += size;
      // What is published in the same moment travels in one frame.
      setImmediate(() => this.push());
    });
  }

  // The conversation

  begin(mesh) {
    const call = mesh.Publish();
    // The first frame has no events. `checked` would say that they were held against their contracts already.
    call.write({ head: { ...this.head, instance: this.instance, checked: false } });
    return call;
  }

  hear({ through, window, refused, waiting }) {
    for (const { first, count, reason } of refused) {
      for (let n = 0; n < count; n += 1) this.refused.set(first + n, reason);
    }
    while (this.frames.length && this.frames[0].last <= through) this.finish(this.frames.shift());
    if (waiting && waiting !== this.waiting) console.error(`the mesh takes nothing at present: ${waiting}`);
    this.waiting = waiting;
    this.window = window;
    // The first answer on a connection says what is on disk; all behind it is sent, again if need be.
    this.answered = true;
    this.push();
  }

  lost() {
    this.answered = false;
    this.window = 0;
    for (const frame of this.frames || []) frame.sent = false;
  }

  /** Sends what may be under way. With nothing under way a single event leaves at once; else they gather. */
  push() {
    if (!this.answered) return;
    if (this.open.length && !this.frames.length) this.seal();
    let underWay = this.frames.reduce((sum, frame) => sum + (frame.sent ? frame.bytes : 0), 0);
    for (const frame of this.frames.filter((each) => !each.sent)) {
      if (underWay && underWay + frame.bytes > this.window) return;
      this.line.call.write(frame.message);
      frame.sent = true;
      underWay += frame.bytes;
    }
  }

  seal() {
    const events = this.open;
    const message = pack(events, this.head, this.next, Date.now() * 1000);
    const last = this.next + events.length - 1;
    this.frames.push({ message, events, first: this.next, last, bytes: this.openBytes, sent: false });
    this.next = last + 1;
    this.open = [];
    this.openBytes = 0;
  }

  finish({ events, first }) {
    events.forEach((event, place) => {
      const id = `${this.head.stream}.${first + place}`;
      const reason = this.refused.get(first + place);
      this.refused.delete(first + place);
      if (reason === undefined) event.resolve(id);
      else event.reject(new Refused(`${id}: ${reason}`));
    });
  }
}

module.exports = { Publisher, Refused };
