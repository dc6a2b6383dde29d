"""Do caches stay bounded, shrink on order, and remain right while threads use them?"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodekit.caches import BATCH, Cache, Caches


def at_once(call: Callable[[], object]) -> object:
    return call()


def filled(entries: int, limit: int) -> Cache[int, str]:
    cache: Cache[int, str] = Cache(limit)
    for number in range(entries):
        cache[number] = str(number)
    return cache


def test_the_least_recently_used_goes_first() -> None:
    cache = filled(3, limit=3)
    assert cache[0] == "0"
    cache[3] = "3"
    assert list(cache) == [2, 0, 3]


def test_hits_and_misses_are_counted() -> None:
    cache = filled(2, limit=3)
    assert cache.get(0) == "0"
    assert cache.get(9) is None
    with pytest.raises(KeyError):
        cache[9]
    assert 1 in cache
    assert (cache.hits, cache.misses) == (1, 2)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1 entry, got 0"):
        Cache(limit=0)


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["set", "get", "del", "shrink"]), st.integers(0, 9)), max_size=60),
)
def test_it_behaves_like_a_plain_model(limit: int, steps: list[tuple[str, int]]) -> None:
    cache: Cache[int, int] = Cache(limit)
    model: OrderedDict[int, int] = OrderedDict()
    for step, number in steps:
        if step == "set":
            cache[number] = number
            model.pop(number, None)
            model[number] = number
        elif step == "get":
            assert cache.get(number) == model.get(number)
            if number in model:
                model.move_to_end(number)
        elif step == "del":
            assert cache.pop(number, None) == model.pop(number, None)
        else:
            cache.shrink(number)
        bound = number if step == "shrink" else limit
        while len(model) > bound:
            model.popitem(last=False)
        assert list(cache) == list(model)


def test_shrinking_takes_the_oldest_also_over_many_batches() -> None:
    cache = filled(3 * BATCH + 7, limit=10 * BATCH)
    cache.shrink(5)
    assert list(cache) == list(range(3 * BATCH + 2, 3 * BATCH + 7))


def test_an_order_to_shrink_lowers_the_limit_and_restore_raises_it() -> None:
    caches, cache = Caches(), filled(10, limit=20)
    caches.add("numbers", cache)
    assert caches.shrink(0.5, at_once) == [{"name": "numbers", "before": 10, "after": 5}]
    assert cache.limit == 5
    caches.restore()
    assert cache.limit == 20
    assert len(cache) == 5


def test_shrinking_to_nothing_leaves_a_cache_that_works() -> None:
    caches, cache = Caches(), filled(10, limit=20)
    caches.add("numbers", cache)
    caches.shrink(0.0, at_once)
    assert len(cache) == 0
    cache[1] = "one"
    assert cache[1] == "one"


def test_a_memoized_function_is_reported_and_cleared() -> None:
    @functools.lru_cache(maxsize=50)
    def square(number: int) -> int:
        return number * number

    caches = Caches()
    caches.add("square", square)
    for number in (1, 2, 2):
        square(number)
    assert caches.report() == [{"name": "square", "entries": 2, "limit": 50, "hits": 1, "misses": 2}]
    assert caches.shrink(0.5, at_once) == [{"name": "square", "before": 2, "after": 0}]


def test_an_unbounded_memoized_function_has_limit_zero() -> None:
    caches = Caches()
    caches.add("length", functools.cache(len))
    assert caches.report()[0]["limit"] == 0


def test_anything_with_a_length_and_shrink_may_register() -> None:
    class Own(list[int]):
        def shrink(self, entries: int) -> None:
            del self[entries:]

    caches, visits = Caches(), []
    caches.add("own", Own(range(8)))

    def on_loop(call: Callable[[], object]) -> object:
        visits.append(call)
        return call()

    assert caches.shrink(0.25, on_loop) == [{"name": "own", "before": 8, "after": 2}]
    assert len(visits) == 1, "a foreign cache may only be touched on the loop"


def test_a_cache_that_fails_is_left_out_of_the_report() -> None:
    class Odd:
        def __len__(self) -> int:
            raise RuntimeError("closed")

        def shrink(self, entries: int) -> None: ...

    caches = Caches()
    caches.add("odd", Odd())
    caches.add("good", filled(1, limit=2))
    for _ in range(2):
        assert [report["name"] for report in caches.report()] == ["good"]


def test_what_cannot_shrink_is_refused() -> None:
    with pytest.raises(TypeError, match="'plain': expected a Cache, an lru_cache function or len"):
        Caches().add("plain", {})


def test_a_name_can_be_used_once() -> None:
    caches = Caches()
    caches.add("pages", Cache(1))
    with pytest.raises(ValueError, match="'pages' is already registered"):
        caches.add("pages", Cache(1))


def test_threads_never_see_it_over_its_limit_or_broken() -> None:
    cache: Cache[int, int] = Cache(64)
    faults: list[str] = []
    stop = threading.Event()

    def hammer(seed: int) -> None:
        for number in range(6000):
            key = (number * seed) % 200
            if cache.get(key, key) != key:
                faults.append(f"{key} had another value")
            if cache.setdefault(key, key) != key:
                faults.append(f"{key} was set to another value")
            cache[key] = key
            if len(cache) > 64:
                faults.append("over the limit")

    def shrink() -> None:
        while not stop.wait(0.001):
            cache.shrink(10)
            list(cache.items())
            cache.pop(5, None)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in (1, 3, 7)]
    shrinker = threading.Thread(target=shrink)
    for thread in [*threads, shrinker]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    shrinker.join()
    assert faults == []
