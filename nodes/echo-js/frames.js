'use strict';
// What do the frames say that come, and what must those say that go? No line, no clock: only messages.

const { createHash } = require('node:crypto');

const MOST_EVENTS = 512; // of a frame
const MOST_BYTES = 112 * 1024; // of the data in a frame with more than one event
const LONGEST_EVENT = 1024 * 1024;

const sha256 = (text) => createHash('sha256').update(text).digest();
/** The trace of an event that began one, and every event's own place in its trace. */
const traceOf = (id) => sha256(id).subarray(0, 16);
const spanOf = (id) => sha256(`span ${id}`).subarray(0, 8);

/** The events of a frame that was delivered, each with its place in it. */
function unpack(frame) {
  const { head, columns, delivery } = frame;
  const extras = new Map(frame.extra.map((extra) => [extra.event, extra]));
  return frame.data.map((data, place) => {
    const column = (name, otherwise) => (columns && columns[name].length ? columns[name][place] : otherwise);
    // In a part of a frame the places in the whole are named: ids do not change.
    const id = `${head.stream}.${head.first + column('index', place)}`;
    const extra = extras.get(place);
    return {
      id,
      place,
      data,
      type: head.types[column('type', 0)],
      subject: column('subject', ''),
      source: head.source,
      time: (head.at + column('after', 0)) / 1e6,
      content: head.content || 'application/json',
      attempt: delivery.attempt,
      trace: extra && extra.trace.length ? extra.trace : traceOf(id),
      cause: extra ? extra.cause : '',
    };
  });
}

/** A frame of events that are published: `{type, subject, data, cause}`, at most as many as a frame may hold. */
function pack(events, { source, stream, version }, first, at) {
  const types = [...new Set(events.map((event) => event.type))];
  const columns = {};
  if (types.length > 1) columns.type = events.map((event) => types.indexOf(event.type));
  if (events.some((event) => event.subject)) {
    columns.subject = events.map((event) => event.subject || '');
    columns.key = columns.subject.map(crc32);
  }
  const extra = events.flatMap(({ cause }, place) =>
    (cause ? [{ event: place, trace: cause.trace, span: spanOf(cause.id), cause: cause.id }] : []));
  const head = { source, stream, version, first, count: events.length, at, types };
  return { head, columns, data: events.map((event) => event.data), extra };
}

/** Whether one more event still fits behind those of a frame. */
function fits(count, bytes, more) {
  return count === 0 || (count < MOST_EVENTS && bytes + more <= MOST_BYTES);
}

const TABLE = Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

/** ISO 3309, of the text's UTF-8; zlib.crc32 is not in Debian 12's Node.js. */
function crc32(text) {
  let sum = 0xffffffff;
  for (const byte of Buffer.from(text)) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

module.exports = { unpack, pack, fits, crc32, LONGEST_EVENT };
