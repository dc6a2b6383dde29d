"""Does the class that is put into nodes behave as the dict it replaces, only bounded?"""

import asyncio
import contextlib
import copy
import json
import pickle
import sys
import threading
import time
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regenerator.boundcache.bounded import CLASS, NAME, bounded_class


def made(base: str = "dict") -> Any:
    name, text = bounded_class(base)
    space: dict[str, Any] = {"OrderedDict": OrderedDict, "threading": threading, "__name__": __name__}
    exec(text, space)
    return space[name]


Bounded: Any = made()
_BoundedDict = Bounded  # where pickle looks for it


@pytest.mark.parametrize("base", ["dict", "OrderedDict"])
def test_the_oldest_go(base: str) -> None:
    cache = made(base)(128)
    for number in range(1000):
        cache[number] = str(number)
        assert len(cache) <= 128
        assert cache[number] == str(number)
    assert 999 in cache
    assert 0 not in cache
    assert cache.get(0) is None
    with pytest.raises(KeyError, match="0"):
        cache[0]


@pytest.mark.parametrize(
    "write",
    [
        lambda cache, n: cache.update({n: n}),
        lambda cache, n: cache.update([(n, n)]),
        lambda cache, n: cache.setdefault(n, n),
        lambda cache, n: cache.__ior__({n: n}),
        lambda cache, n: cache.__setitem__(n, n),
    ],
)
def test_every_way_of_writing_is_bounded(write: Any) -> None:
    cache = Bounded(128)
    for number in range(500):
        write(cache, number)
    assert len(cache) <= 128
    assert cache[499] == 499


def test_a_large_update_is_cut_to_the_newest() -> None:
    cache = Bounded(128, {n: n for n in range(10_000)})
    assert 112 <= len(cache) <= 128
    assert 9999 in cache


def test_what_was_just_dropped_is_still_read_by_key() -> None:
    """`if key in cache: return cache[key]` must hold while another task writes in between."""
    cache = Bounded(128, {n: str(n) for n in range(128)})
    assert 0 in cache
    cache["new"] = "new"
    assert 0 not in cache
    assert cache[0] == "0"


def test_what_a_thread_found_it_can_read_whatever_others_write() -> None:
    cache = Bounded(128, {n: str(n) for n in range(128)})
    assert 0 in cache
    other = threading.Thread(target=lambda: cache.update({n: str(n) for n in range(1000, 9000)}))
    other.start()
    other.join()
    assert 0 not in list(cache)
    assert cache[0] == "0"
    with pytest.raises(KeyError):
        cache[1]


def test_what_was_removed_on_purpose_is_gone_at_once() -> None:
    for remove in (lambda c: c.pop(0, None), lambda c: c.clear()):
        cache = Bounded(128, {n: str(n) for n in range(128)})
        assert 0 in cache
        cache["new"] = "new"
        remove(cache)
        with pytest.raises(KeyError):
            cache[0]
    cache = Bounded(128, {0: "0"})
    del cache[0]
    with pytest.raises(KeyError):
        del cache[0]
    with pytest.raises(KeyError):
        cache.pop(0)


@pytest.mark.parametrize("base", ["dict", "OrderedDict"])
@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda c: c.pop(0), None),
        (lambda c: c.__delitem__(0), None),
        (lambda c: c.clear(), None),
        (lambda c: c.__setitem__(0, "new"), "new"),
        (lambda c: (c.pop(0), c.setdefault(0, "new")), "new"),
        (lambda c: (c.update({n: n for n in range(1000, 1300)}), c.__setitem__(0, "new")), "new"),
        (lambda c: (c.update({n: n for n in range(1000, 1300)}), c.pop(0, None)), None),
    ],
)
@pytest.mark.parametrize("pushed_out", [False, True])
def test_what_another_thread_invalidates_is_stale_for_nobody(
    base: str, change: Any, seen: str | None, pushed_out: bool
) -> None:
    cache = made(base)(128, {n: "old" for n in range(128)})
    assert 0 in cache

    def work() -> None:
        change(cache)
        if pushed_out:
            cache.update({n: n for n in range(2000, 2500)})

    other = threading.Thread(target=work)
    other.start()
    other.join()
    if seen is None:
        with pytest.raises(KeyError):
            cache[0]
    else:
        assert cache[0] == seen


def test_a_removed_value_is_never_read_again_while_others_drop() -> None:
    cache = Bounded(128)
    faults: list[object] = []
    end = time.monotonic() + 0.5

    def change() -> None:
        version = 0
        while time.monotonic() < end and not faults:
            version += 1
            cache["k"] = version
            cache.pop("k", None)
            with contextlib.suppress(KeyError):
                faults.append(cache["k"])

    def write(seed: int) -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            cache[seed, number] = number

    threads = [
        threading.Thread(target=change),
        *(threading.Thread(target=write, args=(n,)) for n in range(3)),
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        sys.setswitchinterval(interval)
    assert faults == []


def test_threads_that_ended_leave_nothing_behind() -> None:
    cache = Bounded(128)
    for n in range(200):
        thread = threading.Thread(target=cache.__setitem__, args=(n, n))
        thread.start()
        thread.join()
    cache.update({n: n for n in range(1000, 1200)})
    assert len(cache._found) <= threading.active_count()
    assert len(cache._dropped) <= 128 // 8 + threading.active_count()


def test_it_is_a_dict_to_everybody_else() -> None:
    cache = Bounded(128, a=1, b=2)
    assert cache == {"a": 1, "b": 2}
    assert json.loads(json.dumps(cache)) == {"a": 1, "b": 2}
    assert {**cache} == cache
    assert cache | {"c": 3} == {"a": 1, "b": 2, "c": 3}
    for other in (copy.copy(cache), copy.deepcopy(cache), cache.copy(), pickle.loads(pickle.dumps(cache))):
        assert other == cache
        assert other is not cache
        other.update({n: n for n in range(500)})
        assert len(other) <= 128
    assert Bounded.get is dict.get
    assert Bounded.__getitem__ is dict.__getitem__


def test_ordered_keeps_its_own_methods() -> None:
    cache = made("OrderedDict")(128, [(n, n) for n in range(128)])
    cache.move_to_end(0)
    cache["new"] = "new"
    assert 0 in cache
    assert 1 not in cache
    assert cache.popitem() == ("new", "new")
    assert isinstance(cache, OrderedDict)


@given(st.lists(st.tuples(st.sampled_from("sdpuc"), st.integers(0, 40)), max_size=200))
def test_below_the_bound_it_is_exactly_a_dict(steps: list[tuple[str, int]]) -> None:
    cache, plain = Bounded(128), {}
    for action, key in steps:
        for each in (cache, plain):
            match action:
                case "s":
                    each[key] = str(key)
                case "d":
                    each.setdefault(key, "default")
                case "p":
                    each.pop(key, None)
                case "u":
                    each.update({key: "u", key + 1: "v"})
                case "c":
                    each.clear()
        assert list(cache.items()) == list(plain.items())


def test_threads_see_no_errors_and_the_bound_holds() -> None:
    cache = Bounded(1024)
    faults: list[BaseException] = []
    end = time.monotonic() + 0.5

    def work(seed: int) -> None:
        number = seed
        try:
            while time.monotonic() < end:
                number = (number * 1103515245 + 12345) % 16384
                if number not in cache:
                    cache[number] = "-".join(str(number * n) for n in range(50))
                assert cache[number].startswith("0-")
                if number % 97 == 0:
                    cache[-number] = "mine"
                    cache.pop(-number, None)
                if number % 1999 == 0:
                    cache.update({n: f"0-{n}" for n in range(number, number + 20)})
                assert len(cache) < 1024 + 32
        except BaseException as fault:  # noqa: BLE001 - a thread must not swallow what it found
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        sys.setswitchinterval(interval)
    assert faults == []
    cache["last"] = "last"
    assert len(cache) <= 1024


def test_threads_that_write_at_once_drop_no_more_than_is_needed() -> None:
    cache = Bounded(1024, {n: n for n in range(1024)})
    smallest = [1024]
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        start.wait()
        for n in range(2000):
            cache[seed, n] = n
            smallest.append(len(cache))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        sys.setswitchinterval(interval)
    assert min(smallest) >= 1024 - 1024 // 8 - 8


def test_a_lock_lost_in_a_fork_does_not_stop_the_dropping() -> None:
    cache = Bounded(128, {n: n for n in range(128)})
    holding = threading.Thread(target=cache._lock.acquire)
    holding.start()
    holding.join()
    for n in range(128, 140):
        cache[n] = n
    assert len(cache) <= 128


def test_tasks_may_wait_between_a_test_and_a_read() -> None:
    cache = Bounded(512)

    async def look(number: int) -> str:
        if number not in cache:
            await asyncio.sleep(0)
            cache[number] = str(number)
        else:
            await asyncio.sleep(0)
        return str(cache[number])

    async def all_of_them() -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(look((n * 37) % 1000)) for n in range(3000)]
        return [task.result() for task in running]

    asyncio.run(all_of_them())
    assert len(cache) <= 512


def test_dropping_costs_little_however_large_the_cache() -> None:
    """The search for the oldest must not grow with the size: a plain next(iter()) here is quadratic."""

    def seconds(bound: int) -> float:
        cache = Bounded(bound, {n: n for n in range(bound)})
        started = time.perf_counter()
        for n in range(bound, bound + 20_000):
            cache[n] = n
        return time.perf_counter() - started

    assert min(seconds(65536) for _ in range(3)) < 5 * min(seconds(1024) for _ in range(3))


def test_the_text_fits_the_size_gate_with_room() -> None:
    assert CLASS.count("\n") < 100
    assert NAME in CLASS
