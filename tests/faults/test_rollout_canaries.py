"""Canaries that are bad in every way beside ones that are not: who loses its share, why, and who notices?

All of them run at once on one host, each with users of its own.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.e2e.follow import Follower, Node, ended, last_rollout, ready, stable, whole
from tests.e2e.ground import wait_for
from tests.e2e.host import Host
from tests.e2e.kernel import of_node
from tests.e2e.programs import PLAIN_HTTP, lay
from tests.faults.clerk import Clerk
from tests.faults.rollout_world import PAGES, Users, ask_once, histories, is_told, sharing, under_way

pytestmark = pytest.mark.e2e
ANSWER = "async def answer(request, **parts):\n"
HALF = '[rollout]\nsteps = [50, 100]\ndwell = "1s"\nsoak = "10m"\n'
STAYS = '[rollout]\nsteps = [50, 100]\ndwell = "10m"\nsoak = "10m"\n'
FREEZES = '[rollout]\nsteps = [50, 100]\ndwell = "1s"\nsoak = "10m"\non_failure = "freeze"\n'
PROBED = '[health]\nreadiness = "http"\npath = "/healthz"\n'
BREAKS = '    if request.path != "/healthz":\n        raise KeyError("broken")\n'
STOP = 'stop = { timeout = "2s" }'
LIMIT = '[resources]\nmemory = "150M"\n'
GROWS = """
@node.task
async def grow():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1024)) * 400)
        await asyncio.sleep(0.05)

node.main()"""
GREEDY = "import multiprocessing\n" + PAGES.replace(
    "node.main()",
    """
def burn():
    while True:
        pass

for _ in range(4):
    multiprocessing.Process(target=burn, daemon=True).start()
node.main()""",
)


def answering(lines: str) -> str:
    return PAGES.replace(ANSWER, ANSWER + lines)


@dataclass(frozen=True, slots=True)
class Case:
    program: str
    tables: str = HALF
    before: str = PAGES
    rate: float = 20.0
    method: str = "GET"
    head: str = STOP
    run: tuple[str, ...] = ("python3", "main.py")


TEN = '[rollout]\nsteps = [10, 100]\ndwell = "1s"\nsoak = "10m"\n'
NOT_FOUND = PLAIN_HTTP.replace("send_response(200)", "send_response(404)")
MASKED = Case(answering(BREAKS), PROBED + HALF)
CASES = {
    "masked": MASKED,
    "posted": Case(answering(BREAKS), PROBED + TEN, method="POST"),
    "unready": Case(
        NOT_FOUND,
        PROBED + HALF,
        head=f'{STOP}\nstart_timeout = "2s"',
        run=("python3", "main.py", "{listen}"),
    ),
    "slow": Case(answering("    await asyncio.sleep(0.1)\n"), rate=60.0),
    "leaks": Case(PAGES.replace("\nnode.main()", GROWS), LIMIT + STAYS, rate=5.0),
    "alike": Case(
        answering("    if random.random() < 0.2:\n        raise KeyError('now and then')\n"),
        STAYS,
        answering("    if random.random() < 0.2:\n        raise KeyError('now and then')\n"),
        method="POST",
    ),
    "frozen": Case(answering(BREAKS), FREEZES),
    "stuck": Case(PAGES, STAYS),
}
PORTS = {name: number for number, name in enumerate(CASES, 1)}
MOVED = len(CASES) + 1


class Trial:
    def __init__(self, host: Host, follower: Follower) -> None:
        self.host, self.follower, self.clerk = host, follower, Clerk(host)
        self.users = {
            name: Users(host.first_port + PORTS[name] - 1, case.rate, case.method)
            for name, case in CASES.items()
        }

    def lay(
        self,
        name: str,
        version: str,
        program: str,
        tables: str = "",
        head: str = STOP,
        run: tuple[str, ...] = ("python3", "main.py"),
    ) -> None:
        folder = lay(self.host, name, version, program, port=PORTS[name], head=head, tables=tables, run=run)
        self.clerk.order(folder=str(folder))

    def order(self, verb: str, node: str) -> str:
        self.clerk.order(verb=verb, node=node)
        return self.clerk.answered()[f"{verb} {node}"]

    def rolled_back(self, name: str, timeout: float = 60.0) -> str:
        """Why; the old version stands, alone, as before, and every step to there is told."""
        node = self.follower.until(name, lambda n: ended(n) and whole()(n), "the end of the rollout", timeout)
        rollout = last_rollout(node)
        assert (rollout["phase"], node["version"]) == ("rolled back", "1.0.0"), rollout
        is_told(histories(self.host, [name])[name][0])
        since = time.time()
        self.users[name].more(5)
        assert self.users[name].versions(since) <= {"1.0.0"}
        return str(rollout["reason"])


@pytest.fixture(scope="module")
def trial(host: Host, follower: Follower) -> Iterator[Trial]:
    made = Trial(host, follower)
    for name, case in CASES.items():
        made.lay(name, "1.0.0", case.before)
    assert set(made.clerk.answered().values()) == {"done"}
    follower.until_all(dict.fromkeys(CASES, whole()), "the first versions", 60)
    with ExitStack() as stack:
        for users in made.users.values():
            stack.enter_context(users)
        # From fewer than 100 answers nobody knows how long stable takes; those of the last second are untold.
        made.users["slow"].more(240, 60.0)
        for name, case in CASES.items():
            made.lay(name, "1.1.0", case.program, case.tables, case.head, case.run)
        assert set(made.clerk.answered().values()) == {"done"}
        yield made
    made.clerk.close()


def test_one_that_is_never_ready_gets_nothing(trial: Trial) -> None:
    reason = trial.rolled_back("unready")
    assert "was not ready within 2 s" in reason
    assert trial.users["unready"].versions(0.0) == {"1.0.0"} and not trial.users["unready"].faults()


@pytest.mark.parametrize("name", ["masked", "posted"])
def test_one_that_passes_its_probes_and_fails_its_users_is_found(trial: Trial, name: str) -> None:
    reason = trial.rolled_back(name)
    assert "failed" in reason or "worse" in reason, reason
    assert len(trial.users[name].faults()) <= 6, reason


def test_one_that_answers_late_is_found_by_its_own_clock(trial: Trial) -> None:
    reason = trial.rolled_back("slow", 90.0)
    assert "slow" in reason or "longer" in reason or "late" in reason, reason
    assert not trial.users["slow"].faults()


def test_when_both_fail_alike_nobody_goes_back(trial: Trial) -> None:
    users = trial.users["alike"]
    trial.follower.until("alike", sharing(0.5), "its share")
    wait_for(lambda: len(users.faults()) > 60, "errors of both", 60)
    node = trial.follower.now("alike")
    assert sharing(0.5)(node), node
    rollout = node["rollout"]
    assert rollout["canary_bad"] > 5 and rollout["stable_bad"] > 5, rollout
    assert trial.order("abort", "alike") == "done"


def test_harm_freezes_where_the_plan_says_so_and_a_person_may_go_back_or_try_again(trial: Trial) -> None:
    node = trial.follower.until("frozen", lambda n: (n["rollout"] or {}).get("frozen"), "its freeze", 60)
    assert (node["rollout"]["share"], len(ready(node, "canary"))) == (0.5, 1)
    assert trial.order("rollback", "frozen") == "done"
    # The canary of the first try still leaves when the second one begins.
    assert trial.order("retry", "frozen") == "done"
    trial.follower.until("frozen", lambda n: (n["rollout"] or {}).get("frozen"), "its freeze again", 60)
    # Two orders at once: one of them comes first, the other hears so.
    trial.clerk.order(verb="abort", node="frozen")
    trial.clerk.order(verb="finish", node="frozen")
    said = trial.clerk.answered()
    node = trial.follower.until("frozen", lambda n: ended(n) and whole()(n), "one end", 60)
    phase = last_rollout(node)["phase"]
    assert "done" in said.values(), said
    assert phase == "rolled back" or said["finish frozen"] == "done", said
    rollouts = histories(trial.host, ["frozen"])["frozen"]
    assert [one["to_version"] for one in rollouts] == ["1.1.0", "1.1.0"]
    for one in rollouts:
        is_told(one)
    assert any("frozen" in each["reason"] for each in rollouts[0]["history"])


def test_a_request_without_an_end_delays_a_drain_no_longer_than_the_stop_timeout(trial: Trial) -> None:
    trial.follower.until("stuck", sharing(0.5), "its share", 60)
    port, heard = trial.host.first_port + PORTS["stuck"] - 1, []
    asking = [
        threading.Thread(target=lambda: heard.append(ask_once(port, "/forever", 60.0)), daemon=True)
        for _ in range(6)
    ]
    for thread in asking:
        thread.start()
    under_way(trial.host, "stuck", len(asking))
    before = trial.follower.now("stuck")
    assert trial.order("finish", "stuck") == "done"
    began = time.monotonic()
    node = trial.follower.until("stuck", lambda n: ended(n) and whole()(n), "the end of the old version", 30)
    took = time.monotonic() - began
    assert node["version"] == "1.1.0" and took < 12.0, took
    assert stable(node)[0]["pid"] == ready(before, "canary")[0]["pid"]
    assert not trial.users["stuck"].faults()
    since = time.time()
    trial.users["stuck"].more(5)
    assert trial.users["stuck"].versions(since) == {"1.1.0"}


def test_another_port_is_taken_at_once_and_the_old_one_given_up(trial: Trial) -> None:
    """`masked` has ended by now, so its door may move."""
    host = trial.host
    trial.rolled_back("masked")
    folder = lay(host, "masked", "1.2.0", PAGES, port=MOVED, head=STOP)
    told = host.nodectl("plan", str(folder), check=False)
    assert told.returncode == 3
    assert "changes its port or host names" in told.stdout + told.stderr
    old, new = host.first_port + PORTS["masked"] - 1, host.first_port + MOVED - 1
    trial.clerk.order(folder=str(folder))
    assert set(trial.clerk.answered().values()) == {"done"}

    def moved(node: Node) -> bool:
        return whole()(node) and node["version"] == "1.2.0" and stable(node)[0]["version"] == "1.2.0"

    node = trial.follower.until("masked", moved, "the other port", 60)
    assert not node["rollout"] and last_rollout(node)["to_version"] == "1.1.0", "no share of anything"
    wait_for(lambda: ask_once(new, "/") == "200 1.2.0", "the new port")
    assert not ask_once(old, "/").startswith("200")
    assert len(of_node(host, "masked")) == 1


def test_one_that_leaks_to_its_limit_ends_alone(trial: Trial) -> None:
    """Slower ones are found by their slope: `tests/policy/test_guards.py`."""
    reason = trial.rolled_back("leaks", 90.0)
    assert "memory" in reason, reason
    assert not trial.users["leaks"].faults()


@pytest.mark.soak
def test_one_that_takes_the_hosts_cpu_goes(trial: Trial) -> None:
    """Beside other tests there is too little CPU left for it to be greedy."""
    trial.follower.until("alike", lambda n: not n["rollout"], "its rest", 60)
    trial.lay("alike", "1.2.0", GREEDY, STAYS)
    assert set(trial.clerk.answered().values()) == {"done"}
    assert "cores" in trial.rolled_back("alike", 90.0)
