"""Every story goes as it is written, also when the state is written and read again after every input,
and noded may be killed between any two paragraphs without breaking a rule."""

from pathlib import Path

import pytest

from noded.model.actions import Actions, KillInstance, StartInstance
from noded.model.inputs import Booted, Input, InstanceExited, Observed, ProxyFound, ProxyLost
from noded.model.state import HostState
from noded.policy.decide import decide
from noded.runtime import codec
from tests.playbooks import story
from tests.playbooks.facts import Desk, told
from tests.policy.build import HOST, number_of, process
from tests.sim import invariants

STORIES = sorted(Path(__file__).parent.glob("*.txt"))
EMPTY = HostState(host=HOST, proxy="g1")
by_name = pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)


def play(state: HostState, facts: tuple[Input, ...]) -> tuple[HostState, list[tuple[Input, Actions]]]:
    """Decide all, checking after each what must always hold."""
    decided = []
    for fact in facts:
        before = state
        state, actions = decide(state, fact)
        invariants.check(before, fact, state, actions)
        decided.append((fact, actions))
    return state, decided


@by_name
def test_it_goes_as_written(path: Path, request: pytest.FixtureRequest) -> None:
    state, steps, told_now = EMPTY, story.read(path), []
    for step in steps:
        state, decided = play(state, step.facts)
        told_now.append([line for fact, actions in decided for line in story.lines_of(fact, actions)])
    if request.config.getoption("--rewrite", default=False):
        story.write(path, steps, told_now)
        return
    for step, lines in zip(steps, told_now, strict=True):
        assert lines == list(step.expected), f"{path.name}: after {step.written[-1]!r}"


@by_name
def test_it_goes_the_same_when_the_state_is_written_and_read_after_every_input(path: Path) -> None:
    state = other = EMPTY
    for step in story.read(path):
        for fact in step.facts:
            again = codec.load_tagged(Input, codec.dump_tagged(fact))
            state, actions = decide(state, fact)
            other, repeated = decide(codec.load(HostState, codec.dump(other)), again)
            assert repeated == actions
    assert other == state


@by_name
def test_noded_may_be_killed_between_any_two_paragraphs(path: Path) -> None:
    steps = story.read(path)
    whole, _ = play(EMPTY, tuple(fact for step in steps for fact in step.facts))
    for cut in range(1, len(steps)):
        before = tuple(fact for step in steps[:cut] for fact in step.facts)
        after = tuple(fact for step in steps[cut:] for fact in step.facts)
        if not before:
            continue
        state, decided = play(EMPTY, before)
        where = f"cut before {steps[cut].written[0]!r}"
        booted, *back = _comes_back(state, decided)
        state, ((_, actions),) = play(codec.load(HostState, codec.dump(state)), (booted,))
        killed = {action.instance for action in actions if isinstance(action, KillInstance)}
        assert not list(invariants.orphans(state, _alive(booted), killed)), where
        ended, _ = play(state, (*back, *after))
        assert _wishes(ended) == _wishes(whole), where


def _comes_back(state: HostState, decided: list[tuple[Input, Actions]]) -> tuple[Input, ...]:
    """What noded finds: everything it ordered was done, and what ended is gone."""
    alive: dict[str, None] = {}
    proxy = EMPTY.proxy
    for fact, actions in decided:
        if isinstance(fact, InstanceExited):
            alive.pop(fact.instance, None)
        if isinstance(fact, ProxyFound):
            proxy = fact.generation
        if isinstance(fact, ProxyLost):
            proxy = ""
        for action in actions:
            if isinstance(action, StartInstance):
                alive[action.instance] = None
    at = decided[-1][0].at
    found = tuple(Observed(name, process(number_of(name))) for name in alive)
    booted: Input = Booted(at, HOST, found)
    return (booted, ProxyFound(at, proxy)) if proxy else (booted,)


def _alive(fact: Input) -> dict[str, object]:
    return {o.instance: o for o in fact.observed} if isinstance(fact, Booted) else {}


def _wishes(state: HostState) -> dict[str, str]:
    return {name: str(node.desired) for name, node in state.nodes.items()}


# The language of the stories


@pytest.mark.parametrize(
    "line",
    [
        "5 InstanceExited shop.1 'signal 9'",
        "5.25 Sampled shop.1=30.5M till.12=1M",
        "7 TrafficCounted shop.1=900/1 shop.2=100/3/2/down",
        "8 ActionFailed StartInstance shop.1 NotFound 'no such user'",
        "9 ActionFailed InstallRoute shop Refused 'no such slot'",
        "9 MemoryProfiled shop.1 shop/prices.py:41:price_of:12M:4321",
        "9 CachesShrunk shop.1 90M 45M 'prices 100 -> 50 entries'",
        "10 Booted alive=shop.1,shop.2",
        "10 CommandRequested pause -",
        "11 RegenerationFailed shop-1 'no cache is unbounded'",
    ],
)
def test_a_line_says_what_is_read_from_it(line: str) -> None:
    (fact,) = Desk().read(line)
    assert told(fact) == line


def test_a_range_is_one_input_a_second() -> None:
    facts = list(Desk().read("2..4 Sampled shop.1=30M+1.5M"))
    assert [told(fact) for fact in facts] == [
        "2 Sampled shop.1=30M",
        "3 Sampled shop.1=31.5M",
        "4 Sampled shop.1=33M",
    ]


@pytest.mark.parametrize(
    "line", ["5 Nonsense shop", "5 ApplyRequested shop 1.0 sapres=1", "x Woken shop", "5 Sampled shop.1=y"]
)
def test_a_line_that_cannot_be_read_is_refused_with_its_place(line: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(f"1 Woken shop\n----\n\n{line}\n----\n")
    with pytest.raises(ValueError, match=r"odd\.txt, paragraph 2: cannot read"):
        story.read(path)


def test_a_story_that_goes_otherwise_fails(tmp_path: Path) -> None:
    path = tmp_path / "wrong.txt"
    path.write_text("1 ApplyRequested shop 1.0\n----\n1 StartInstance shop.1\n")
    (step,) = story.read(path)
    _, decided = play(EMPTY, step.facts)
    lines = [line for fact, actions in decided for line in story.lines_of(fact, actions)]
    assert lines != list(step.expected)
    assert any(isinstance(a, StartInstance) for _, actions in decided for a in actions)
    assert not any(isinstance(a, KillInstance) for _, actions in decided for a in actions)
