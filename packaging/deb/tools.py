"""Where do debhelper and dpkg-dev come from on a machine that has not installed them?

Both are Perl: unpacked from Debian's packages they run where they lie.
"""

import os
import shutil
from pathlib import Path

from debian import Failed, say, unpack

# A program of each package, to see whether it is there.
NEEDED = (
    ("dh_installsystemd", ("debhelper", "libdebhelper-perl", "libdpkg-perl")),
    ("dpkg-buildpackage", ("dpkg-dev", "libdpkg-perl")),
    ("make", ("make",)),
)


def environment(checkout: Path) -> dict[str, str]:
    """In which all that debian/rules calls is found."""
    root = checkout / ".tools/root"
    path = f"/usr/sbin:/usr/bin:/sbin:/bin:{root}/usr/bin"
    for program, packages in NEEDED:
        if shutil.which(program, path=path):
            continue
        for package in packages:
            say(f"fetching Debian's {package}")
            unpack(package, checkout / ".tools")
        if not shutil.which(program, path=path):
            raise Failed(f"{program} is needed: install {packages[0]}")
    own = {"PATH": path, "HOME": "/nonexistent", "PERL5LIB": f"{root}/usr/share/perl5"}
    if (scripts := root / "usr/share/debhelper/autoscripts").is_dir():
        own["DH_AUTOSCRIPTDIR"] = str(scripts)
    kept = {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
    return kept | own
