"""What lies in /usr/lib/noded?

A virtual environment of Debian's python3.11 with the locked wheels and our programs; `sdk`, which is all that
nodes import; and `bin`. Compiled, because nobody who runs them may write there, and without a trace of the
builder.
"""

import compileall
import configparser
import os
import py_compile
import shutil
import sys
from pathlib import Path

from debian import run, say

LOCKS = ("runtime.txt", "regenerate.txt")
PREFIX = "usr/lib/noded"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
SDK = f"{PREFIX}/sdk"
SDK_PACKAGES = ("nodekit",)
# -I: neither the caller's PYTHONPATH nor the folder it stands in change what is run.
SCRIPT = """\
#!/{prefix}/bin/python3 -I
import sys

from {module} import {function}

sys.exit({function}())
"""
SDK_SCRIPT = """\
#!/usr/bin/python3
import sys

sys.path.insert(0, "/{sdk}")
from {module} import {function}

sys.exit({function}())
"""
# What pip notes about an installation, with the place and time of it.
NOTES = ("RECORD", "direct_url.json", "INSTALLER", "REQUESTED")


def lay_out(checkout: Path, tree: Path) -> None:
    site = tree / SITE
    site.mkdir(parents=True)
    _install_wheels(checkout, site)
    for name, source in _packages(checkout).items():
        # The mesh judges events by nodekit's schema, which must not make nodes see the libraries.
        for place in (site, tree / SDK) if name in SDK_PACKAGES else (site,):
            shutil.copytree(
                checkout / source, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.proto")
            )
    (tree / PREFIX / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    _write_programs(checkout, tree)
    _compile(tree)
    _open_to_all(tree)


def _install_wheels(checkout: Path, site: Path) -> None:
    say("installing the locked wheels")
    locks = [word for name in LOCKS for word in ("-r", str(checkout / "requirements" / name))]
    options = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile", "--no-input", "-q"]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    run([sys.executable, "-m", "pip", "install", *options, "--target", site, *locks], env=environment)
    shutil.rmtree(site / "bin", ignore_errors=True)  # console scripts of libraries, with the builder's Python
    for name in NOTES:
        for note in site.glob(f"*.dist-info/{name}"):
            note.unlink()


def _settings(checkout: Path) -> configparser.ConfigParser:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(checkout / "setup.cfg")
    return settings


def _packages(checkout: Path) -> dict[str, str]:
    lines = _settings(checkout).get("options", "package_dir").strip().splitlines()
    return {name.strip(): folder.strip() for name, _, folder in (line.partition("=") for line in lines)}


def _write_programs(checkout: Path, tree: Path) -> None:
    binaries = tree / PREFIX / "bin"
    binaries.mkdir()
    (binaries / "python3").symlink_to("/usr/bin/python3.11")
    scripts = _settings(checkout).get("options.entry_points", "console_scripts").strip().splitlines()
    for line in scripts:
        name, target = (part.strip() for part in line.split("="))
        module, function = target.split(":")
        form = SDK_SCRIPT if module.partition(".")[0] in SDK_PACKAGES else SCRIPT
        script = binaries / name
        script.write_text(form.format(prefix=PREFIX, sdk=SDK, module=module, function=function))


def _compile(tree: Path) -> None:
    """Unchecked: nothing looks at the sources' dates again, which packages change."""
    say("compiling")
    for place in (SITE, SDK):
        compileall.compile_dir(
            str(tree / place),
            quiet=2,
            maxlevels=20,
            stripdir=str(tree),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.parent.name == "bin"
            path.chmod(0o755 if runs else 0o644)
