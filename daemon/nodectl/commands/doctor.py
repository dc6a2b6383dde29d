"""`doctor`: is the host well, and if not, what is to be done?

noded checks the host. What can be seen without it is looked at here, which helps when noded is down.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from nodeapi.v1 import control_pb2 as pb
from nodectl import VERSION
from nodectl.client import Client
from nodectl.documents import document, write
from nodectl.failures import Exit, Failure
from nodectl.screen import Cell, say
from nodectl.session import Session
from nodectl.text import amount, one_line
from nodespec.host import LATER, Settings
from nodespec.tables import ManifestError, decode, read

STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}
LARGEST = 1024 * 1024
PATIENCE = 5.0
UNITS = (
    *("noded-nodes.service", "noded-launcher.service", "noded-proxy.service", "noded-mesh.service"),
    "noded.service",
)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    result: str
    found: str
    advice: str = ""


def doctor(session: Session, config: Path) -> Exit:
    checks, failure = _asked(session)
    if failure is not None:
        checks = [*checks, *_settings(config), *_launcher(config), *_units()]
    if session.plain:
        say(*_page(checks))
    else:
        write([document(_message(one)) for one in checks], session.output)
    return Exit.FAILED if any(one.result == "failed" for one in checks) else Exit.OK


def _asked(session: Session) -> tuple[list[Check], Failure | None]:
    """What noded says of the host, or why it says nothing."""
    with Client(session) as client:
        try:
            found = client.ask("ask for the version", client.stub.GetVersion, pb.GetVersionRequest())
            told = client.ask("check the host", client.stub.CheckHost, pb.CheckHostRequest())
        except Failure as failure:
            return [Check("noded", "failed", failure.text, failure.hint)], failure
    text = f"{found.version} answers at {session.socket}"
    own = Check("noded", "ok", text)
    if found.version != VERSION:
        advice = "install the same version of both"
        own = Check("noded", "warning", f"{text}; nodectl is {VERSION}", advice)
    return [own, *(Check(one.name, one.result, one.found, one.advice) for one in told.checks)], None


def _settings(config: Path) -> Iterator[Check]:
    try:
        _read(config)
    except FileNotFoundError:
        text = f"{config} is not there: every setting has its default"
        yield Check("noded.toml", "warning", text, "nodectl doctor --config FILE, if it lies elsewhere")
    except OSError as error:
        text = f"{config} cannot be read: {error.strerror}"
        yield Check("noded.toml", "warning", text, "the same command with sudo")
    except ManifestError as error:
        yield Check("noded.toml", "failed", str(error), f"correct {config}, then: systemctl restart noded")
    else:
        yield Check("noded.toml", "ok", f"{config} is valid")


def _read(config: Path) -> Settings:
    with config.open("rb") as file:
        return read(decode(file.read(LARGEST), str(config)), str(config), Settings, LATER)


def _launcher(config: Path) -> Iterator[Check]:
    try:
        path = _read(config).paths.launcher
    except (OSError, ManifestError):
        path = Settings().paths.launcher
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(1.0)
        try:
            line.connect(path)
        except PermissionError:
            # It is there, and not for everybody.
            yield Check("launcher", "ok", f"{path} is there")
        except OSError as error:
            cause = error.strerror or str(error)
            advice = "systemctl start noded-launcher; then its log: journalctl -u noded-launcher"
            yield Check("launcher", "failed", f"{path}: {cause}", advice)
        else:
            yield Check("launcher", "ok", f"{path} answers")


def _units() -> Iterator[Check]:
    """Nothing where systemd is not in charge."""
    systemctl = shutil.which("systemctl")
    for unit in UNITS if systemctl else ():
        state = _state(str(systemctl), unit)
        name = unit.removesuffix(".service")
        if state in ("active", "reloading"):
            yield Check(unit, "ok", state)
        elif state:
            advice = f"systemctl start {name}; if it does not stay: journalctl -u {name}"
            yield Check(unit, "failed", state, advice)


def _state(systemctl: str, unit: str) -> str:
    """Empty when systemd does not run here or cannot say."""
    try:
        done = subprocess.run(
            [systemctl, "is-active", unit],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    word = done.stdout.strip()
    return word if word in ("active", "reloading", "inactive", "failed", "activating", "deactivating") else ""


def _page(checks: list[Check]) -> list[Cell]:
    rows: list[Cell] = []
    width = max(len(one.name) for one in checks)
    for one in checks:
        first, *rest = one.found.splitlines() or [""]
        line = Text(f"{one_line(one.result):7}", style=STYLES.get(one.result, ""))
        rows.append(line.append(f"  {one_line(one.name):{width}}  {one_line(first)}"))
        rows += [f"{'':{width + 11}}{more}" for more in rest]
        rows += [f"{'':{width + 11}}do: {one.advice}"] if one.advice else []
    wrong = [one for one in checks if one.result != "ok"]
    failed = sum(one.result == "failed" for one in checks)
    if not wrong:
        return [*rows, f"all {len(checks)} checks are ok"]
    return [*rows, f"{failed} failed, {amount(len(wrong) - failed, 'warning')}, {len(checks)} checks in all"]


def _message(one: Check) -> pb.Check:
    return pb.Check(name=one.name, result=one.result, found=one.found, advice=one.advice)
