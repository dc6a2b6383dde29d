"""`nodekit run DIR`: how does an author start a node at the desk, without a daemon and under a debugger?

The node replaces this process, so the terminal, Ctrl-C and `breakpoint()` are its own.
"""

import argparse
import json
import os
import re
import socket
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .frames import LONGEST_EVENT

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
SDK = str(Path(__file__).resolve().parent.parent)


class Mistake(Exception):
    """The node cannot be started; the text says where and what was expected."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nodekit", description="For authors of noded nodes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="start a node here, without noded")
    run.add_argument("directory", type=Path, help="folder of node.toml")
    run.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1 (default 8080)")
    run.add_argument("--data", type=Path, help="data folder (default: one kept in the temporary folder)")
    run.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="TYPE=FILE.json",
        help="an event to begin with; what the node publishes comes back to its own handlers",
    )
    run.add_argument("--debug", action="store_true", help="Python's development mode")
    given = parser.parse_args(arguments)
    try:
        events = [read_event(event) for event in given.event]
        command, environ = prepare(given.directory, given.port, given.data, given.debug, os.environ, events)
        if "NODED_LISTEN" in environ:
            look_for(given.port)
        os.chdir(given.directory)
        sys.stdout.flush()
        os.execvpe(command[0], command, environ)
    except Mistake as mistake:
        print(f"nodekit: {mistake}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"nodekit: cannot start {given.directory}: {error}", file=sys.stderr)
        return 1


def prepare(
    directory: Path,
    port: int,
    data: Path | None,
    debug: bool,
    environ: Mapping[str, str],
    events: Sequence[tuple[str, str]] = (),
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment noded would give the node, but for the sockets only a daemon has."""
    if not 1 <= port <= 65535:
        raise Mistake(f"--port: expected 1 to 65535, got {port}")
    node, serves = read_manifest(directory)
    listen = f"127.0.0.1:{port}"
    command = [word.replace("{listen}", listen) for word in node["run"]]
    folder = data or scratch(node["name"])
    folder.mkdir(parents=True, exist_ok=True)
    kept = {
        key: environ[key] for key in environ if not key.startswith(("NODED_", "NODEKIT_", "NOTIFY_SOCKET"))
    }
    path = os.pathsep.join(part for part in (SDK, environ.get("PYTHONPATH", "")) if part)
    own = {
        "NODED_NODE": node["name"],
        "NODED_INSTANCE": f"{node['name']}.0",
        "NODED_VERSION": node["version"],
        "NODED_DATA": str(folder.resolve()),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "NODEKIT_DESK": json.dumps(events),
    }
    if serves:
        own["NODED_LISTEN"] = listen
    if debug:
        own["PYTHONDEVMODE"] = "1"
    return command, {**kept, **node.get("env", {}), **own}


def look_for(port: int) -> None:
    """Raises Mistake when somebody else listens there."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        # create_server adds words of its own to the reason.
        raise Mistake(
            f"--port: {port} cannot be had: {os.strerror(error.errno or 0)}; give another one"
        ) from None


def read_event(text: str) -> tuple[str, str]:
    """TYPE=FILE.json: its type, and where its data lies."""
    type, equals, name = text.partition("=")
    if not type or not equals or not name:
        raise Mistake(f"--event: expected TYPE=FILE.json, got {text!r}")
    file = Path(name)
    try:
        with file.open("rb") as content:
            data = content.read(LONGEST_EVENT + 1)
        json.loads(data)
    except OSError as error:
        raise Mistake(f"--event: {file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Mistake(f"--event: {file}: expected JSON: {error}") from None
    if len(data) > LONGEST_EVENT:
        raise Mistake(f"--event: {file}: expected at most {LONGEST_EVENT} bytes")
    return type, str(file.resolve())


def read_manifest(directory: Path) -> tuple[dict[str, Any], bool]:
    """Reads only what a start needs; `nodectl validate` reads the rest."""
    file = directory / "node.toml"
    try:
        with file.open("rb") as manifest:
            content = tomllib.loads(manifest.read(65536).decode())
    except OSError as error:
        raise Mistake(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Mistake(f"{file}: {error}") from None
    node = content.get("node")
    if not isinstance(node, dict):
        raise Mistake(f"{file}: node: expected a table, got {node!r}")
    name, version, run, env = (node.get(key) for key in ("name", "version", "run", "env"))
    checks = (
        ("name", "a name such as catalog", name, isinstance(name, str) and NAME.fullmatch(name)),
        ("version", "text such as 1.0.0", version, isinstance(version, str) and version),
        ("run", "a list of words", run, run and is_words(run)),
        ("env", "text values", env, env is None or (isinstance(env, dict) and is_words(list(env.values())))),
    )
    mistakes = [
        f"{file}: node.{key}: expected {want}, got {got!r}" for key, want, got, good in checks if not good
    ]
    if mistakes:
        raise Mistake("\n".join(mistakes))
    return node, "serves" in content


def is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and "\0" not in word for word in value)


def scratch(name: str) -> Path:
    """The same folder at every run, so that a node finds its data again."""
    folder = Path(tempfile.gettempdir()) / f"nodekit-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise Mistake(f"{folder} belongs to someone else; give --data")
    return folder / name
