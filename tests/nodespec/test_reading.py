"""Is `node.toml` read as the design's section 7 says?"""

import json
import tomllib
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodespec.forms import FORMS
from nodespec.manifest import (
    Autonomy,
    Budget,
    Calls,
    Canary,
    Check,
    Consumes,
    Healing,
    Health,
    Levels,
    Listen,
    Metrics,
    NodeSpec,
    Objectives,
    OnFailure,
    OnInconclusive,
    Order,
    Probe,
    Protocol,
    Publishes,
    Regeneration,
    Resources,
    RolloutPlan,
    Rung,
    Serves,
    Stop,
)
from nodespec.manifest import Tests as Trials
from nodespec.reading import HEAD, ManifestError, read_node, schema
from tests.nodespec.manifests import SMALL, in_table, mistakes

WHOLE = """
[node]
name = "payment"
version = "1.4.0+heal.1"
run = ["python", "-m", "payment", "--bind", "{listen}"]
before = [["python", "-m", "payment.migrate", "--check"], ["./warm"]]
requirements = "./locked/requirements.txt"
user = "payment"
env = { LOG_LEVEL = "info", A = "" }
env_file = "/etc/payment/env"
secrets = { GATEWAY_KEY = "file:/etc/payment/key", B = "file:/etc/b" }
write = ["/srv/payment", "//srv/other/"]
start_timeout = "10s"
stop = { signal = "INT", timeout = "500ms" }
reload = "HUP"
instances = 2
spares = 1

[serves]
port = 8081
protocol = "http"
listen = "port"
idempotent = ["GET"]
hosts = ["pay.example.org"]

[[publishes]]
type = "shop.payment.captured"
schema = "./contracts/captured.json"
check = "warn"

[[publishes]]
type = "shop.payment.refused"

[[consumes]]
type = "shop.order.placed"
schema = "contracts/order.json"
order_by = "subject"

[health]
readiness = "http"
liveness = "exec"
path = "/ready?full=1"
command = ["./alive", "--quick"]
period = "2s"
timeout = 1
failures = 3

[resources]
memory = "256M"
memory_high = "200M"
cpu = 1.5
pids = 64
io = 50
files = 1024

[healing]
ladder = ["collect", "replace"]
settle = "1m"
[healing.autonomy]
restart = "act"
rollback = "approve"
tune = "act"
replace = "observe"
regenerate = "advise"
[healing.budget]
replace = 2
regenerate = 0

[rollout]
steps = [10, 12.5, 100]
dwell = "0s"
soak = "5m"
max_dwell = "1h"
on_inconclusive = "widen"
on_failure = "freeze"
canary = "instances"

[objectives]
error_ratio = 0.01
latency_p99 = "300ms"
queue_lag = "30s"

[metrics]
path = "/figures"
latency = "answer_seconds"

[[calls]]
node = "ledger"
timeout = "2s"

[tests]
command = ["python", "-m", "pytest"]
timeout = "1m"
soak = ["python", "soak.py"]

[regeneration]
write = ["payment/*.py", "payment/**/*.sql"]
constraints = ["Keep the API as it is."]
"""


def test_a_small_manifest_is_all_defaults() -> None:
    assert read_node(SMALL, "node.toml") == NodeSpec("payment", "1.4.0", ("python", "-m", "payment"))


def test_every_key_is_read() -> None:
    assert read_node(WHOLE, "node.toml") == NodeSpec(
        name="payment",
        version="1.4.0+heal.1",
        run=("python", "-m", "payment", "--bind", "{listen}"),
        before=(("python", "-m", "payment.migrate", "--check"), ("./warm",)),
        requirements="locked/requirements.txt",
        user="payment",
        env=(("A", ""), ("LOG_LEVEL", "info")),
        env_file="/etc/payment/env",
        secrets=(("B", "file:/etc/b"), ("GATEWAY_KEY", "file:/etc/payment/key")),
        write=("/srv/payment", "/srv/other"),
        start_timeout=10.0,
        stop=Stop("INT", 0.5),
        reload="HUP",
        instances=2,
        spares=1,
        serves=Serves(8081, Protocol.HTTP, Listen.PORT, ("GET",), ("pay.example.org",)),
        publishes=(
            Publishes("shop.payment.captured", "contracts/captured.json", Check.WARN),
            Publishes("shop.payment.refused", "", Check.REJECT),
        ),
        consumes=(Consumes("shop.order.placed", "contracts/order.json", Order.SUBJECT),),
        health=Health(
            readiness=Probe.HTTP,
            liveness=Probe.EXEC,
            path="/ready?full=1",
            command=("./alive", "--quick"),
            period=2.0,
            timeout=1.0,
            failures=3,
        ),
        resources=Resources(
            memory=256 * 1024**2, memory_high=200 * 1024**2, cpu=1.5, pids=64, io=50, files=1024
        ),
        healing=Healing(
            (Rung.COLLECT, Rung.REPLACE),
            60.0,
            Budget(2, 0),
            Levels(Autonomy.ACT, Autonomy.APPROVE, Autonomy.ACT, Autonomy.OBSERVE, Autonomy.ADVISE),
        ),
        rollout=RolloutPlan(
            (0.1, 0.125, 1.0),
            0.0,
            300.0,
            3600.0,
            OnInconclusive.WIDEN,
            OnFailure.FREEZE,
            Canary.INSTANCES,
        ),
        objectives=Objectives(0.01, 0.3, 30.0),
        metrics=Metrics("/figures", "answer_seconds"),
        calls=(Calls("ledger", 2.0),),
        tests=Trials(("python", "-m", "pytest"), 60.0, ("python", "soak.py")),
        regeneration=Regeneration(("payment/*.py", "payment/**/*.sql"), ("Keep the API as it is.",)),
    )


@pytest.mark.parametrize("line", ['env_file = ""', 'requirements = ""', 'reload = ""', "before = []",
                                  "write = []", "secrets = {}"])  # fmt: skip
def test_the_empty_defaults_may_be_written(line: str) -> None:
    assert read_node(in_table("node", line), "node.toml") == read_node(SMALL, "node.toml")


def test_every_field_of_the_manifest_has_been_written_above() -> None:
    """So that a new field cannot come without a way to write it."""
    written = tomllib.loads(WHOLE)
    assert set(written["node"]) == set(HEAD)
    assert set(written) - {"node"} == {field.name for field in fields(NodeSpec)} - set(HEAD)
    shapes = (
        *(Serves, Publishes, Consumes, Health, Resources, Healing, RolloutPlan),
        *(Objectives, Metrics, Calls, Trials, Regeneration),
    )
    for name, shape in zip(list(written)[1:], shapes, strict=True):
        table = written[name]
        assert set(table[0] if isinstance(table, list) else table) == {field.name for field in fields(shape)}
    assert all(
        name in {field.name for field in fields(shape)} for shape, forms in FORMS.items() for name in forms
    )


HELD = 'port = 80\nprotocol = "tcp"\nlisten = "fd"\n'


def test_a_node_whose_socket_is_held() -> None:
    got = read_node(in_table("serves", HELD), "node.toml")
    assert (got.holds_socket, got.proxied) == (True, False)
    got = read_node(in_table("serves", "port = 80"), "node.toml")
    assert (got.holds_socket, got.proxied) == (False, True)
    got = read_node(SMALL, "node.toml")
    assert (got.holds_socket, got.proxied) == (False, False)


@pytest.mark.parametrize(
    ("health", "key"),
    [('readiness = "http"', "health.readiness"), ('liveness = "tcp"', "health.liveness")],
)
def test_a_held_socket_answers_for_the_dead(health: str, key: str) -> None:
    (got,) = mistakes(in_table("serves", f"{HELD}[health]\n{health}"))
    assert got.startswith(f"{key}: ")
    assert got.endswith("a connection waits in the held socket whether the node lives or not")


def test_a_spare_beside_a_held_socket_must_hear_that_it_is_one() -> None:
    spare = SMALL + f"spares = 1\n[serves]\n{HELD}"
    assert read_node(spare, "node.toml").spares == 1
    (got,) = mistakes(spare + '[health]\nreadiness = "notify"\n')
    assert got.startswith("node.spares: ")


@pytest.mark.parametrize(
    ("health", "alive_by", "every", "patience"),
    [
        ("", Probe.SDK, 0.5, 2.0),
        ('readiness = "notify"', Probe.NONE, 0.5, 2.0),
        ('readiness = "none"', Probe.NONE, 0.5, 2.0),
        ('readiness = "http"\ntimeout = 2', Probe.HTTP, 0.5, 8.0),
        ('readiness = "http"\nliveness = "tcp"\nperiod = 3\nfailures = 2', Probe.TCP, 3.0, 6.0),
        ('liveness = "exec"\ncommand = ["./alive"]', Probe.EXEC, 5.0, 20.0),
    ],
)
def test_how_life_is_asked_after(health: str, alive_by: Probe, every: float, patience: float) -> None:
    got = read_node(in_table("serves", f"port = 80\n[health]\n{health}"), "node.toml").health
    assert (got.alive_by, got.every, got.patience) == (alive_by, every, patience)


def test_the_limit_that_slows_down_may_stand_alone() -> None:
    got = read_node(in_table("resources", 'memory_high = "1M"'), "node.toml")
    assert got.resources == Resources(memory_high=1024**2)


def test_the_default_test_command_may_be_written() -> None:
    assert read_node(in_table("tests", "command = []"), "node.toml").tests == Trials()


tables = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps("" if value is None else value)


KEYS = sorted({*HEAD, *(field.name for shape in FORMS for field in fields(shape))})


sections = st.sampled_from(["node", "serves", "health", "healing", "rollout", "odd"])


@given(
    st.dictionaries(sections, tables | st.dictionaries(st.sampled_from(KEYS), tables, max_size=4), max_size=4)
)
def test_whatever_stands_there_is_read_or_refused(document: dict[str, Any]) -> None:
    text = "\n".join(f"{name} = {as_toml(value)}" for name, value in document.items())
    with pytest.raises(ManifestError) as refused:
        read_node(text, "node.toml")
    assert refused.value.mistakes
    assert all(line.isprintable() for line in str(refused.value).splitlines())


def test_the_schema_says_the_same() -> None:
    whole = json.loads(json.dumps(schema()))
    node = whole["$defs"]["Node"]
    assert set(node["properties"]) == set(HEAD)
    assert node["required"] == ["name", "version", "run"]
    assert node["additionalProperties"] is False
    assert whole["required"] == ["node"]
    assert whole["$defs"]["RolloutPlan"]["properties"]["steps"]["default"] == [10, 25, 50, 100]
    assert whole["$defs"]["Serves"]["properties"]["port"]["maximum"] == 65535
