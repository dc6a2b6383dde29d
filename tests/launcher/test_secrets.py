"""Do nodes get the variables of the host's files, only those they may have, and does nobody else see them?"""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.secrets import LARGEST, Unfit, read_env_file, read_secret
from tests.launcher.lab import NOBODY, PYTHON, Client, Lab, is_root, needs_root, until

NUMBERS = itertools.count(1)
TELL = "import json, os; print(json.dumps(dict(os.environ)), flush=True)"
ME = os.geteuid()


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    made = Lab(cgroups="none")
    (made.home / "etc").mkdir()
    made.settings["secrets"] = [str(made.home / "etc")]
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def client(room: Lab) -> Iterator[Client]:
    made = room.client()
    yield made
    made.close()


def file(room: Lab, content: str | bytes, mode: int = 0o600) -> str:
    path = room.home / "etc" / f"f{next(NUMBERS)}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return str(path)


def order(room: Lab, **more: Any) -> dict[str, Any]:
    return room.order(f"payment.{next(NUMBERS)}", PYTHON, "-SIEc", TELL, **more)


def environment(room: Lab, client: Client, **more: Any) -> dict[str, str]:
    given = order(room, **more)
    client.do("start", **given)
    text: str = until(lambda: room.output(given["instance"]), "the environment")
    found: dict[str, str] = json.loads(text)
    return found


def test_a_node_gets_what_only_root_can_read(room: Lab, client: Client) -> None:
    env_file = file(
        room, "# comment\n; too\n\nA=1\nB = 'two words' \nPATH=/opt/bin:/usr/bin:/bin\nC=\nGREETING=x\n"
    )
    told = environment(
        room,
        client,
        env={"PATH": "/usr/bin:/bin", "GREETING": "hello", "KEY": "manifest"},
        env_file=env_file,
        secrets={
            "KEY": f"file:{file(room, 'open sesame' + chr(10))}",
            "RAW": f"file:{file(room, ' a=b # ')}",
        },
    )
    assert (told["A"], told["B"], told["C"], told["GREETING"]) == ("1", "two words", "", "x")
    assert told["PATH"] == "/opt/bin:/usr/bin:/bin"
    assert (told["KEY"], told["RAW"]) == ("open sesame", " a=b # ")


def test_secrets_are_in_no_log_no_answer_and_no_error(room: Lab, client: Client) -> None:
    hidden = "hidden-" + "treasure"
    key = file(room, hidden)
    given = order(room, secrets={"KEY": f"file:{key}"}, env_file=file(room, f"OTHER={hidden}\n"))
    given["argv"] = ["sleep", "100"]
    answers = [client.ask("start", **given)]
    answers += [client.ask(op, instance=given["instance"]) for op in ("status", "inspect", "kill")]
    answers.append(client.ask("list"))
    # The program is looked for in the PATH of the file, and not found.
    bad = order(room, env={}, env_file=file(room, f"PATH=/{hidden}\n"))
    bad["argv"] = ["no-such-program"]
    answers.append(client.ask("start", **bad))
    answers.append(client.ask("start", **order(room, env_file=file(room, f"A=1\n{hidden}\n"))))
    answers.append(client.ask("start", **order(room, env_file=file(room, f"A={hidden}\\\n"))))
    answers.append(client.ask("start", **order(room, secrets={"A": f"file:{file(room, hidden + chr(0))}"})))
    assert [answer["ok"] for answer in answers] == [True] * 5 + [False] * 4
    assert hidden not in json.dumps(answers)
    assert hidden not in room.log


FILES: list[tuple[str | bytes, str]] = [
    ("A=1\nno equals sign\n", "line 2: expected NAME=VALUE"),
    ("A=1\n\n1A=2\n", "line 3: expected NAME=VALUE"),
    ("export A=1\n", "line 1: expected NAME=VALUE"),
    ("=1\n", "line 1: expected NAME=VALUE"),
    ("A=one \\\ntwo\n", "line 1: a value with a backslash needs quotes"),
    ("A='x\nB=y'\n", "line 1: quotes must enclose the whole value"),
    ("A='x' y\n", "line 1: quotes must enclose the whole value"),
    ("A='x' 'y'\n", "line 1: quotes must enclose the whole value"),
    ('A="x\\"\n', "line 1: quotes must enclose the whole value"),
    ("A='\n", "line 1: quotes must enclose the whole value"),
    ("A=b\0c\n", "line 1: holds a NUL"),
    ("LISTEN_FDS=1\n", "line 1: LISTEN_FDS is set by noded"),
    ("X=1\nNODED_INSTANCE=a.1\n", "line 2: NODED_INSTANCE is set by noded"),
    ("NOTIFY_SOCKET=/x\n", "line 1: NOTIFY_SOCKET is set by noded"),
    (b"A=\xff\n", "not UTF-8 text"),
    (b"#" * (LARGEST + 1), f"larger than {LARGEST} bytes"),
]


@pytest.mark.parametrize(("content", "text"), FILES, ids=[text for _, text in FILES])
def test_a_file_with_a_mistake_is_refused_whole(
    room: Lab, client: Client, content: str | bytes, text: str
) -> None:
    path = file(room, content)
    given = order(room, env_file=path)
    kind, told = client.refused("start", **given)
    assert (kind, f"env_file: {path}: {text}" in told) == ("refused", True), told
    assert client.refused("status", instance=given["instance"])[0] == "not_found"


def test_values_as_systemd_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text(
        """A="a \\"b\\" \\\\ \\$c \\n"\nB='a "b" \\'\nC=it's\nD=a=b\nE=x # y\nA2=1\nA2=2\n  F=indented\n"""
    )
    path.chmod(0o600)
    assert read_env_file(str(path), (str(tmp_path),), ME) == {
        "A": 'a "b" \\ $c \\n',
        "B": 'a "b" \\',
        "C": "it's",
        "D": "a=b",
        "E": "x # y",
        "A2": "2",
        "F": "indented",
    }


def test_the_largest_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * LARGEST)
    path.chmod(0o600)
    assert len(read_secret(str(path), (str(tmp_path),), ME)) == LARGEST


def unfit(path: Path, root: Path, uid: int = ME) -> str:
    with pytest.raises(Unfit) as caught:
        read_secret(str(path), (str(root),), uid)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_only_plain_files_below_the_roots(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "key").write_text("x")
    (outside / "key").chmod(0o600)
    (inside / "link").symlink_to(outside / "key")
    (inside / "folder").mkdir()
    os.mkfifo(inside / "pipe")
    assert "not below one of `secrets`" in unfit(outside / "key", inside)
    assert "not below one of `secrets`" in unfit(inside / "link", inside)
    assert "not below one of `secrets`" in unfit(inside / "../out/key", inside)
    assert "not a plain file" in unfit(inside / "folder", inside)
    assert "not a plain file" in unfit(inside / "pipe", inside)
    assert read_secret(str(inside / "link"), (str(outside),), ME) == "x"  # where it leads is what counts
    with pytest.raises(FileNotFoundError):
        read_secret(str(inside / "missing"), (str(inside),), ME)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_change(tmp_path: Path, mode: int) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(mode)
    assert f"others may write to it (mode {mode:04o}): chmod go-w" in unfit(tmp_path / "key", tmp_path)


@needs_root
def test_whose_file_it_may_be(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o600)
    assert read_secret(str(key), (str(tmp_path),), NOBODY) == "x"
    os.chown(key, NOBODY, NOBODY)
    assert read_secret(str(key), (str(tmp_path),), NOBODY) == "x"
    assert "belongs to uid 65534, expected root or the node's user 1" in unfit(key, tmp_path, 1)


@needs_root
def test_a_node_cannot_choose_among_roots_files(tmp_path: Path) -> None:
    """It owns a folder below the roots and puts a link there, or waits for root to write into it."""
    (tmp_path / "roots").write_text("x")
    (tmp_path / "roots").chmod(0o600)
    own = tmp_path / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    (own / "link").symlink_to(tmp_path / "roots")
    (own / "copy").write_text("x")
    (own / "copy").chmod(0o600)
    text = f"root's file, but not only root decides where {own} leads"
    assert text in unfit(own / "link", tmp_path, NOBODY)
    assert text in unfit(own / "copy", tmp_path, NOBODY)
    os.chown(own / "copy", NOBODY, NOBODY)
    assert read_secret(str(own / "copy"), (str(tmp_path),), NOBODY) == "x"
    free = tmp_path / "free"
    free.mkdir()
    free.chmod(0o777)
    (free / "key").write_text("x")
    (free / "key").chmod(0o600)
    assert f"decides where {free} leads" in unfit(free / "key", tmp_path, NOBODY)


@pytest.mark.skipif(not os.path.exists("/etc/shadow"), reason="needs a password file")
def test_what_is_the_hosts_own_is_nobodys_secret() -> None:
    with pytest.raises(Unfit, match="/etc/shadow: belongs to the host itself"):
        read_secret("/etc/shadow", ("/etc",), ME)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"env_file": "relative"}, "env_file: 'relative', expected"),
        ({"env_file": "/etc/../x"}, "env_file: "),
        ({"env_file": "//etc/x"}, "env_file: "),
        ({"env_file": "/a\0b"}, "env_file: "),
        ({"env_file": 1}, "env_file: 1"),
        ({"secrets": {"A": "/etc/x"}}, "secrets: "),
        ({"secrets": {"A": "file:x"}}, "secrets: "),
        ({"secrets": {"A": "file:/etc/./x"}}, "secrets: "),
        ({"secrets": {"A": "env:/etc/x"}}, "secrets: "),
        ({"secrets": {"1A": "file:/etc/x"}}, "secrets: "),
        ({"secrets": {"A=B": "file:/etc/x"}}, "secrets: "),
        ({"secrets": ["file:/etc/x"]}, "secrets: "),
        ({"secrets": {f"A{n}": "file:/etc/x" for n in range(65)}}, "secrets: "),
        ({"secrets": {"LISTEN_FDS": "file:/etc/x"}}, "secrets.LISTEN_FDS: noded sets it"),
        ({"secrets": {"NODED_DATA": "file:/etc/x"}}, "secrets.NODED_DATA: noded sets it"),
        ({"secrets": {"NOTIFY_SOCKET": "file:/etc/x"}}, "secrets.NOTIFY_SOCKET: noded sets it"),
        ({"env": {"LISTEN_PID": "1"}}, "env.LISTEN_PID: the launcher sets it"),
    ],
)
def test_orders_with_mistakes(room: Lab, client: Client, more: dict[str, Any], text: str) -> None:
    kind, told = client.refused("start", **order(room, **more))
    assert (kind, text in told) == ("refused", True), told


@pytest.mark.parametrize("key", ["env_file", "secrets"])
def test_a_file_that_is_not_there(room: Lab, client: Client, key: str) -> None:
    path = f"{room.home}/etc/missing"
    given: Any = path if key == "env_file" else {"KEY": f"file:{path}"}
    kind, told = client.refused("start", **order(room, **{key: given}))
    assert kind == "not_found"
    assert told.endswith(
        f"{'env_file' if key == 'env_file' else 'secret KEY'}: No such file or directory ({path})"
    )


@pytest.mark.skipif(is_root, reason="root may read everything")
def test_a_file_that_the_launcher_cannot_read(room: Lab, client: Client) -> None:
    path = file(room, "A=1\n", 0)
    assert "Permission denied" in client.refused("start", **order(room, env_file=path))[1]
