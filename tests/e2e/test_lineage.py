"""Is a machine-written change kept by the people's next release, with git as they use it?"""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import host as hosts
from tests.e2e.host import Host
from tests.e2e.programs import SLEEPS, lay

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(shutil.which("git") is None, reason="no git here")]
HEALED = "1.0.0+heal.1"
TABLES = '[health]\nreadiness = "none"\n'
BOUND = "CACHE = 100  # bounded\n"


@pytest.fixture
def host() -> Iterator[Host]:
    made = hosts.make("ndl")
    try:
        made.start()
        yield made
    finally:
        made.close()


def healed(host: Host) -> None:
    """As after an incident: what runs was written by a machine, and only the registry remembers."""
    host.nodectl("apply", str(lay(host, "keeper", program=SLEEPS, tables=TABLES)))
    host.nodectl("apply", str(lay(host, "keeper", HEALED, SLEEPS + BOUND, tables=TABLES)))
    host.stop("noded")
    shutil.rmtree(host.state / "ring")
    with sqlite3.connect(host.state / "registry.db") as registry:
        key = f"releases/keeper/{HEALED}"
        (value,) = registry.execute("SELECT value FROM record WHERE key = ?", (key,)).fetchone()
        told = json.dumps({**json.loads(value), "origin": "incident keeper-1"}).encode()
        registry.execute("UPDATE record SET value = ? WHERE key = ?", (told, key))
    registry.close()
    host.start_noded()


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=anna", "-c", "user.email=anna@example", "-c", "commit.gpgsign=false")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *who, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_release_made_with_git_am_descends_and_another_is_stopped(host: Host, tmp_path: Path) -> None:
    healed(host)
    folder = lay(host, "keeper", "1.1.0", SLEEPS, tables=TABLES)
    planned = host.nodectl("plan", str(folder), check=False)
    refused = host.nodectl("apply", str(folder), check=False)
    assert (planned.returncode, refused.returncode) == (3, 3), refused.stdout + refused.stderr
    assert "--supersede goes on all the same" in planned.stdout
    assert f"it would lose the machine-written change of {HEALED}:" in refused.stderr
    assert f"+{BOUND}" in refused.stderr
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "work")
    mail = tmp_path / "cure.patch"
    mail.write_text(host.nodectl("candidate", "export", "--git-am", "keeper").stdout)
    git(folder, "am", str(mail))
    assert (folder / "main.py").read_text() == SLEEPS + BOUND
    host.nodectl("apply", str(folder))
    assert host.status("keeper")["version"] == "1.1.0"


def test_a_person_who_gives_it_up_is_on_record(host: Host) -> None:
    healed(host)
    folder = lay(host, "keeper", "1.1.0", SLEEPS, tables=TABLES)
    told = host.nodectl("apply", str(folder), "--supersede").stdout
    assert f"gave up the machine-written change of {HEALED}:" in told
    assert "went on with 1.1.0 although superseded" in host.nodectl("explain", "keeper").stdout
    assert "apply keeper 1.1.0 --supersede" in host.nodectl("audit").stdout
