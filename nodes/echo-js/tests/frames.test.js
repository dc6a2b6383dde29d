'use strict';
// Is a frame what mesh.proto says?

const assert = require('node:assert');
const test = require('node:test');
const { unpack, pack, fits, crc32 } = require('../frames');

const ME = { source: '/echo-js', stream: 'echo-js.1-00ff', version: '1.0.0' };
const event = (more) => ({ type: 'a', subject: '', data: Buffer.from('1'), ...more });

test('a frame of one type without subjects has no columns', () => {
  const frame = pack([event(), event()], ME, 7, 1000);
  assert.deepStrictEqual(frame.head, { ...ME, first: 7, count: 2, at: 1000, types: ['a'] });
  assert.deepStrictEqual([frame.columns, frame.extra], [{}, []]);
});

test('types, subjects and keys have a place for every event', () => {
  const { head, columns } = pack([event(), event({ type: 'b', subject: '123456789' })], ME, 1, 1);
  assert.deepStrictEqual(head.types, ['a', 'b']);
  assert.deepStrictEqual(columns, { type: [0, 1], subject: ['', '123456789'], key: [0, 0xcbf43926] });
});

test('the key is the CRC-32 of UTF-8', () => {
  assert.strictEqual(crc32('Größe'), 0x946e9015);
});

test('an answer belongs to the trace of what it answers', () => {
  const cause = { id: 'x-1.1', trace: Buffer.alloc(16, 5) };
  const [extra] = pack([event(), event({ cause })], ME, 1, 1).extra;
  assert.deepStrictEqual([extra.event, extra.cause, extra.trace], [1, 'x-1.1', cause.trace]);
  assert.strictEqual(extra.span.length, 8);
});

test('events of a part keep the ids they have in the whole', () => {
  const [one] = unpack({
    head: { stream: 's', first: 10, types: ['a', 'b'], at: 3e6, source: '/n', content: '' },
    columns: { type: [1], after: [500000], subject: ['k'], index: [4] },
    data: [Buffer.from('{}')],
    extra: [],
    delivery: { number: 1, attempt: 2 },
  });
  assert.deepStrictEqual([one.id, one.type, one.subject, one.time, one.attempt], ['s.14', 'b', 'k', 3.5, 2]);
  assert.strictEqual(one.trace.length, 16);
});

test('a frame ends at 512 events or 112 KiB, but takes one longer event', () => {
  assert.deepStrictEqual([fits(0, 0, 2 ** 20), fits(511, 0, 1), fits(512, 0, 1)], [true, true, false]);
  assert.deepStrictEqual([fits(1, 114687, 1), fits(1, 114688, 1)], [true, false]);
});
