"""What do all programs of a release start from?"""

from pathlib import Path

from noded.launch import launch_of
from tests.runtime.nouns import spec

HOST = (("PATH", "/usr/bin"), ("PYTHONPATH", "/sdk"), ("LANG", "C"))


def test_of_equal_variables_the_nodes_own_is_taken_and_who_it_is_last() -> None:
    own = (("NODED_INSTANCE", "catalog.1"), ("LANG", "de"))
    found = dict(launch_of(spec(env=(("LANG", "en"),)), Path("/r"), HOST, "catalog.1", ("x",), own).env)
    assert found == {
        "PATH": "/usr/bin",
        "PYTHONPATH": "/sdk",
        "LANG": "de",
        "NODED_NODE": "catalog",
        "NODED_VERSION": "1.4.0",
        "NODED_INSTANCE": "catalog.1",
    }


def test_the_wheels_of_a_release_are_found_before_the_hosts() -> None:
    given = spec(requirements="r.txt", env=(("PATH", "/bin"),))
    found = dict(launch_of(given, Path("/r"), HOST, "catalog.1", ("x",)).env)
    assert found["PYTHONPATH"] == "/r/.noded/site:/sdk"
    assert found["PATH"] == "/r/.noded/site/bin:/bin"
