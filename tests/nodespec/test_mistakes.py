"""Is every wrong `node.toml` refused whole, with each mistake at its key?"""

import json

import pytest

from nodespec.forms import LATER
from tests.nodespec.manifests import SMALL, in_table, mistakes


def test_the_example_of_the_issue() -> None:
    assert mistakes(in_table("resources", 'memory = "lots"')) == [
        'resources.memory: expected a size such as "256M", "1G" or a number of bytes, got "lots"'
    ]
    assert mistakes(SMALL + "[healthh]") == ["healthh: unknown key; nearest known key: health"]
    assert mistakes(in_table("node", "hosts = {}")) == ["node.hosts: not yet supported"]


BAD = [
    ("node", 'user = "root"', "node.user"),
    ("node", 'user = "0"', "node.user"),
    ("node", 'user = "00"', "node.user"),
    ("node", "user = 0", "node.user"),
    ("node", 'user = "4294967295"', "node.user"),
    ("node", 'user = "-x"', "node.user"),
    ("node", 'user = ""', "node.user"),
    ("node", 'env = { NODED_X = "1" }', "node.env.NODED_X"),
    ("node", 'env = { NOTIFY_SOCKET = "1" }', "node.env.NOTIFY_SOCKET"),
    ("node", 'env = { "A=B" = "1" }', 'node.env."A=B"'),
    ("node", 'env = { "" = "1" }', 'node.env.""'),
    ("node", "env = { A = 1 }", "node.env.A"),
    ("node", 'env = { A = "a\\u0000b" }', "node.env.A"),
    ("node", 'env = { A = { B = "1" } }', "node.env.A"),
    ("node", 'env = ["A=1"]', "node.env"),
    ("node", 'env = { LISTEN_FDS = "1" }', "node.env.LISTEN_FDS"),
    ("node", 'before = "migrate"', "node.before"),
    ("node", 'before = ["migrate", "--check"]', "node.before"),
    ("node", "before = [[]]", "node.before"),
    ("node", 'before = [[""]]', "node.before"),
    ("node", 'before = [["migrate", 1]]', "node.before"),
    ("node", f"before = {json.dumps([['migrate']] * 17)}", "node.before"),
    ("node", 'before = [["migrate"], ["warm", "--at={listen}"]]', "node.before[1]"),
    ("node", 'requirements = "/etc/requirements.txt"', "node.requirements"),
    ("node", 'requirements = "../requirements.txt"', "node.requirements"),
    ("node", 'requirements = "."', "node.requirements"),
    ("node", 'requirements = ["flask"]', "node.requirements"),
    ("node", 'env_file = "etc/env"', "node.env_file"),
    ("node", 'env_file = "/"', "node.env_file"),
    ("node", 'env_file = "/etc/../root/env"', "node.env_file"),
    ("node", 'env_file = "/etc/a\\nb"', "node.env_file"),
    ("node", "env_file = 1", "node.env_file"),
    ("node", 'secrets = { KEY = "/etc/key" }', "node.secrets.KEY"),
    ("node", 'secrets = { KEY = "env:KEY" }', "node.secrets.KEY"),
    ("node", 'secrets = { KEY = "file:etc/key" }', "node.secrets.KEY"),
    ("node", 'secrets = { KEY = "file:" }', "node.secrets.KEY"),
    ("node", 'secrets = { KEY = "file:/etc/../root/key" }', "node.secrets.KEY"),
    ("node", "secrets = { KEY = 1 }", "node.secrets.KEY"),
    ("node", 'secrets = { NODED_KEY = "file:/etc/key" }', "node.secrets.NODED_KEY"),
    ("node", 'secrets = { LISTEN_PID = "file:/etc/key" }', "node.secrets.LISTEN_PID"),
    ("node", 'secrets = { "A B" = "file:/etc/key" }', 'node.secrets."A B"'),
    ("node", 'secrets = ["KEY"]', "node.secrets"),
    ("node", 'env = { KEY = "1" }\nsecrets = { KEY = "file:/etc/key" }', "node.secrets.KEY"),
    ("node", 'write = "/srv/a"', "node.write"),
    ("node", 'write = ["srv/a"]', "node.write"),
    ("node", 'write = ["/srv/a/../b"]', "node.write"),
    ("node", 'write = ["/"]', "node.write"),
    ("node", 'write = ["/srv/a", "/srv/a/"]', "node.write"),
    ("node", f"write = {json.dumps([f'/srv/{n}' for n in range(17)])}", "node.write"),
    ("node", 'reload = "SIGHUP"', "node.reload"),
    ("node", 'reload = "KILL"', "node.reload"),
    ("node", 'reload = "STOP"', "node.reload"),
    ("node", "reload = 1", "node.reload"),
    ("node", 'reload = "TERM"', "node.reload"),
    ("node", 'reload = "INT"\nstop = { signal = "INT" }', "node.reload"),
    ("node", "start_timeout = 0", "node.start_timeout"),
    ("node", 'start_timeout = "soon"', "node.start_timeout"),
    ("node", 'stop = "TERM"', "node.stop"),
    ("node", 'stop = { signal = "SIGTERM" }', "node.stop.signal"),
    ("node", 'stop = { signal = "term" }', "node.stop.signal"),
    ("node", "stop = { signal = 15 }", "node.stop.signal"),
    ("node", 'stop = { timeout = "0s" }', "node.stop.timeout"),
    ("node", "stop = { after = 1 }", "node.stop.after"),
    ("node", "instances = 0", "node.instances"),
    ("node", "instances = 65", "node.instances"),
    ("node", "instances = 1.0", "node.instances"),
    ("node", 'instances = "2"', "node.instances"),
    ("node", "instances = true", "node.instances"),
    ("node", "spares = 3", "node.spares"),
    ("node", "spares = -1", "node.spares"),
    ("node", "spares = 1", "node.spares"),
    ("serves", "", "serves.port"),
    ("serves", "port = 0", "serves.port"),
    ("serves", "port = 65536", "serves.port"),
    ("serves", 'port = "80"', "serves.port"),
    ("serves", 'port = 80\nprotocol = "htpp"', "serves.protocol"),
    ("serves", 'port = 80\nlisten = "tcp"', "serves.listen"),
    ("serves", 'port = 80\nidempotent = ["get"]', "serves.idempotent"),
    ("serves", 'port = 80\nidempotent = ["GET", "GET"]', "serves.idempotent"),
    ("serves", 'port = 80\nidempotent = ["GET", 1]', "serves.idempotent"),
    ("serves", 'port = 80\nidempotent = "GET"', "serves.idempotent"),
    ("serves", 'port = 80\nprotocol = "tcp"\nhosts = ["a.example"]', "serves.hosts"),
    ("serves", 'port = 80\nhosts = ["A.example"]', "serves.hosts[0]"),
    ("serves", 'port = 80\nprotocol = "grpc"\nlisten = "fd"', "serves.listen"),
    ("objectives", "error_ratio = 1", "objectives.error_ratio"),
    ("metrics", 'latency = "a b"', "metrics.latency"),
    ("rollout", 'on_failure = "stop"', "rollout.on_failure"),
    ("serves", 'port = 80\nlisten = "fd"', "serves.listen"),
    ("serves", 'port = 80\nprotocol = "tcp"\nlisten = "fd"\nidempotent = ["GET"]', "serves.idempotent"),
    ("health", 'readiness = "http"', "health.readiness"),
    ("health", 'readiness = "tcp"', "health.readiness"),
    ("health", 'liveness = "http"', "health.liveness"),
    ("health", 'liveness = "tcp"', "health.liveness"),
    ("health", 'liveness = "notify"', "health.liveness"),
    ("health", 'liveness = "ping"', "health.liveness"),
    ("health", 'readiness = "exec"', "health.command"),
    ("health", 'liveness = "exec"', "health.command"),
    ("health", 'liveness = "exec"\ncommand = []', "health.command"),
    ("health", 'command = ["./alive"]', "health.command"),
    ("health", 'liveness = "exec"\ncommand = "./alive"', "health.command"),
    ("health", "period = -1", "health.period"),
    ("health", 'period = "often"', "health.period"),
    ("health", "failures = 0", "health.failures"),
    ("health", "failures = 101", "health.failures"),
    ("health", "failures = 1.5", "health.failures"),
    ("health", 'readiness = "ping"', "health.readiness"),
    ("health", 'readiness = "grpc"', "health.readiness"),
    ("health", 'path = "healthz"', "health.path"),
    ("health", 'path = "/a b"', "health.path"),
    ("health", 'path = "/a\\r\\nX: y"', "health.path"),
    ("health", "timeout = 0", "health.timeout"),
    ("health", "timeout = -1", "health.timeout"),
    ("resources", "memory = -1", "resources.memory"),
    ("resources", "memory = 1.5", "resources.memory"),
    ("resources", "memory_high = -1", "resources.memory_high"),
    ("resources", 'memory = "1M"\nmemory_high = "2M"', "resources.memory_high"),
    ("resources", "io = -1", "resources.io"),
    ("resources", "io = 10001", "resources.io"),
    ("resources", 'io = "10M"', "resources.io"),
    ("resources", 'cpu = "1"', "resources.cpu"),
    ("resources", "cpu = -0.5", "resources.cpu"),
    ("resources", "cpu = inf", "resources.cpu"),
    ("resources", "cpu = nan", "resources.cpu"),
    ("resources", "pids = -1", "resources.pids"),
    ("resources", "files = 9999999", "resources.files"),
    ("healing", 'ladder = ["restart"]', "healing.ladder"),
    ("healing", 'ladder = ["replace", "collect"]', "healing.ladder"),
    ("healing", 'ladder = ["collect", "collect"]', "healing.ladder"),
    ("healing", 'ladder = "collect"', "healing.ladder"),
    ("healing", "ladder = [1]", "healing.ladder"),
    ("healing", "settle = 0", "healing.settle"),
    ("healing.autonomy", 'tune = "yes"', "healing.autonomy.tune"),
    ("healing.autonomy", 'collect = "act"', "healing.autonomy.collect"),
    ("healing.budget", "replace = -1", "healing.budget.replace"),
    ("rollout", "steps = []", "rollout.steps"),
    ("rollout", "steps = [10, 50]", "rollout.steps"),
    ("rollout", "steps = [50, 10, 100]", "rollout.steps"),
    ("rollout", "steps = [10, 10, 100]", "rollout.steps"),
    ("rollout", "steps = [0, 100]", "rollout.steps"),
    ("rollout", "steps = [10, 100, 110]", "rollout.steps"),
    ("rollout", 'steps = ["10%", 100]', "rollout.steps"),
    ("rollout", "steps = [true, 100]", "rollout.steps"),
    ("rollout", "steps = 100", "rollout.steps"),
    ("rollout", "dwell = -1", "rollout.dwell"),
    ("tests", 'command = "pytest"', "tests.command"),
    ("tests", 'command = [""]', "tests.command"),
    ("tests", "soak = [1]", "tests.soak"),
    ("tests", "timeout = 0", "tests.timeout"),
    ("regeneration", 'write = ["/etc/passwd"]', "regeneration.write[0]"),
    ("regeneration", 'write = ["a.py", "a/../../b"]', "regeneration.write[1]"),
    ("regeneration", 'write = [""]', "regeneration.write[0]"),
    ("regeneration", 'write = ["a\\nb"]', "regeneration.write[0]"),
    ("regeneration", "constraints = [1]", "regeneration.constraints[0]"),
    ("regeneration", 'constraints = ["' + "a" * 4097 + '"]', "regeneration.constraints[0]"),
]


@pytest.mark.parametrize(("table", "lines", "key"), BAD)
def test_one_bad_value_is_one_mistake_at_its_key(table: str, lines: str, key: str) -> None:
    (got,) = mistakes(in_table(table, lines))
    assert got.startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("name", '"Payment"'),
        ("name", '"1a"'),
        ("name", '"noded"'),
        ("name", '"noded-regenerate"'),
        ("name", '"a_b"'),
        ("name", '"a.b"'),
        ("name", '"../a"'),
        ("name", '"' + "a" * 33 + '"'),
        ("name", '"a\\n"'),
        ("name", '""'),
        ("name", "1"),
        ("version", '""'),
        ("version", '"-1"'),
        ("version", '"1/2"'),
        ("version", '"1.0 "'),
        ("version", '"' + "1" * 65 + '"'),
        ("version", "1.4"),
        ("run", "[]"),
        ("run", '[""]'),
        ("run", '"python -m payment"'),
        ("run", '["python", 8080]'),
        ("run", '["a\\u0000"]'),
        ("run", json.dumps(["a"] * 513)),
    ],
)
def test_the_three_required_keys(key: str, written: str) -> None:
    good = {"name": '"payment"', "version": '"1.4.0"', "run": '["payment"]'}
    (got,) = mistakes(
        "[node]\n" + "\n".join(f"{name} = {text}" for name, text in (good | {key: written}).items())
    )
    assert got.startswith(f"node.{key}: expected ")
    (got,) = mistakes(
        "[node]\n" + "\n".join(f"{name} = {text}" for name, text in good.items() if name != key)
    )
    assert got.startswith(f"node.{key}: expected ")
    assert got.endswith(", got nothing")


def test_mistakes_of_every_kind_come_together() -> None:
    got = mistakes("""
        helth = 1
        [node]
        name = "Payment"
        run = ["{listen}"]
        memory = "1G"
        instances = "every-host"
        spares = 1
        hosts = {}
        [health]
        readiness = "http"
    """)
    assert sorted(line.partition(": ")[0] for line in got) == [
        "health.readiness", "helth", "node.hosts", "node.instances", "node.memory", "node.name",
        "node.run", "node.spares", "node.version",
    ]  # fmt: skip
    assert "node.memory: unknown key; nearest known key: resources.memory" in got
    assert 'node.instances: "every-host" is not yet supported' in got


@pytest.mark.parametrize("later", sorted(LATER))
def test_what_is_planned_is_told_apart_from_what_is_unknown(later: str) -> None:
    place, _, value = later.partition("=")
    table, _, key = place.rpartition(".")
    line = f"{key} = {json.dumps(value) if value else '{}'}"
    lines = f"port = 80\n{line}" if table == "serves" else line
    text = in_table(table, lines) if table else f"{line}\n{SMALL}"
    (got,) = mistakes(text)
    assert got == (f'{place}: "{value}" is not yet supported' if value else f"{place}: not yet supported")


EVENTS = [
    ('[[publishes]]\nschema = "a.json"\n', "publishes[0].type", "got nothing"),
    ('[[publishes]]\ntype = ""\n', "publishes[0].type", 'such as "shop.order.placed"'),
    ('[[publishes]]\ntype = "shop order"\n', "publishes[0].type", 'such as "shop.order.placed"'),
    ('[[publishes]]\ntype = ".order"\n', "publishes[0].type", 'such as "shop.order.placed"'),
    (f'[[consumes]]\ntype = "{"a" * 256}"\n', "consumes[0].type", "at most 255 characters"),
    ('[[publishes]]\ntype = "a"\nschema = "../a.json"\n', "publishes[0].schema", "a file inside the release"),
    ('[[publishes]]\ntype = "a"\ncheck = "ask"\n', "publishes[0].check", "one of reject, warn, off"),
    ('[[consumes]]\ntype = "a"\norder_by = "type"\n', "consumes[0].order_by", 'expected "subject"'),
    ('[[consumes]]\ntype = "a"\ncheck = "warn"\n', "consumes[0].check", "unknown key"),
    ('[publishes]\ntype = "a"\n', "publishes", "a list"),
    ("publishes = [1]\n", "publishes[0]", "a table"),
    ('[[publishes]]\ntype = "a"\n' * 2, "publishes[1].type", '"a" stands there twice'),
    ('[[consumes]]\ntype = "a"\n' * 3, "consumes[2].type", '"a" stands there twice'),
    ("".join(f'[[consumes]]\ntype = "t{n}"\n' for n in range(101)), "consumes", "at most 100 event types"),
]


@pytest.mark.parametrize(("lines", "key", "told"), EVENTS)
def test_events(lines: str, key: str, told: str) -> None:
    text = f"{lines}{SMALL}" if lines.startswith("publishes =") else f"{SMALL}{lines}"
    assert any(line.startswith(f"{key}: ") and told in line for line in mistakes(text)), mistakes(text)


@pytest.mark.parametrize("text", ["", "name = 1", "node = 3", "node = [1]", "[[node]]\nname = 'a'"])
def test_without_a_node_table(text: str) -> None:
    assert any(line.startswith("node") for line in mistakes(text))
