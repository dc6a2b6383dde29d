'use strict';
// Does the mesh hear what became of every event, once, in numbers of this connection?

const assert = require('node:assert');
const test = require('node:test');
const { Session } = require('../consumer');

test('what is handled in order is said with one number, and makes room', () => {
  const session = new Session(2);
  session.take(1, 1);
  session.take(2, 2);
  session.done(1, 0);
  assert.deepStrictEqual(session.settle(), { through: 1, done: [], failed: [], granted: 3 });
  session.done(2, 0);
  assert.strictEqual(session.settle().through, 1);
  session.done(2, 1);
  assert.deepStrictEqual(session.settle(), { through: 2, done: [], failed: [], granted: 5 });
});

test('what is handled out of order is named until the gap is closed', () => {
  const session = new Session(4);
  for (const number of [1, 2, 3]) session.take(number, 1);
  session.done(3, 0);
  assert.deepStrictEqual(session.settle().done, [3]);
  session.done(1, 0);
  session.done(2, 0);
  const said = session.settle();
  assert.deepStrictEqual([said.through, said.done], [3, []]);
});

test('what failed is named once, and the rest of its delivery is handled', () => {
  const session = new Session(4);
  session.take(1, 2);
  session.done(1, 1, { how: 'RETRY', after: 0.5, reason: 'later' });
  session.done(1, 0);
  const said = session.settle();
  assert.deepStrictEqual(said.failed, [{ delivery: 1, event: 1, how: 'RETRY', after: 0.5, reason: 'later' }]);
  assert.strictEqual(said.through, 1);
  assert.deepStrictEqual(session.settle().failed, []);
});

test('what is given back at the stop makes no room', () => {
  const session = new Session(4);
  session.take(1, 1);
  session.done(1, 0, { how: 'RELEASE' }, false);
  assert.strictEqual(session.settle().granted, 4);
});
