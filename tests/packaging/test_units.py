"""Are the units what systemd understands, are they tight, and do nodes inherit nothing from them?"""

import re
from pathlib import Path

import pytest

from noded.adapters.haproxy_config import config
from tests.packaging import units

TIGHT = {"noded.service": 3.0, "noded-proxy.service": 3.0, "noded-mesh.service": 3.0}
# What children of the launcher keep from it, other than capabilities, which nodes drop all the same. The
# launcher sets each of these anew for a node or hands it on as systemd's own default for services.
HARMLESS = {
    "Type",
    "ExecStart",
    "Slice",
    "KillMode",
    "OOMPolicy",
    "Restart",
    "RestartSec",
    "RestartPreventExitStatus",
    "TimeoutStopSec",
    "LimitNOFILE",
    "TasksMax",
    "UMask",
    "NoNewPrivileges",
    "CapabilityBoundingSet",
}


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("units")
    units.lay_out(root)
    return root


def test_systemd_finds_nothing_wrong(laid_out: Path) -> None:
    assert units.verify(laid_out, *units.NAMES) == ""


@pytest.mark.parametrize("name", sorted(TIGHT))
def test_score(laid_out: Path, name: str) -> None:
    assert units.exposure(laid_out, name) <= TIGHT[name]


def test_the_launcher_makes_no_filter_and_no_namespace() -> None:
    """A node would keep either for good: see systemd/README.md."""
    keys = {key.partition(".")[2] for key in units.settings("noded-launcher.service") if "Service." in key}
    assert keys - HARMLESS == set()


def test_the_launcher_is_as_tight_as_that_leaves_it(laid_out: Path) -> None:
    score = units.exposure(laid_out, "noded-launcher.service")
    told = re.search(r"scores ([\d.]+)", (units.UNITS / "README.md").read_text("utf-8"))
    assert told
    assert score == float(told[1])


def test_stopping_any_of_ours_but_the_holder_ends_no_node() -> None:
    """Nodes are processes of the holder's group; the launcher's own group is only where they are born."""
    assert units.settings("noded-launcher.service")["Service.KillMode"] == ["process"]
    holder = units.settings("noded-nodes.service")
    assert holder["Service.KillMode"] == ["control-group"]
    assert holder["Service.Delegate"] == ["yes"]
    assert holder["Service.OOMPolicy"] == ["continue"]
    assert holder["Service.Type"] == ["forking"], "with a main process, killing that would end all nodes"
    assert holder["Service.GuessMainPID"] == ["no"]
    for name in units.NAMES:
        needed = units.settings(name)
        for key in ("Unit.Requires", "Unit.BindsTo", "Unit.PartOf", "Unit.Requisite"):
            assert needed.get(key, ["noded-nodes.service"]) == ["noded-nodes.service"], name
    assert not [
        key for key in holder if key in ("Unit.Requires", "Unit.BindsTo", "Unit.PartOf", "Unit.Wants")
    ]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("noded-nodes.service", "noded-launcher.service"),
        ("noded-launcher.service", "noded-proxy.service"),
        ("noded-proxy.service", "noded.service"),
        ("noded-mesh.service", "noded.service"),
        ("noded-nodes.service", "noded.service"),
    ],
)
def test_order(first: str, then: str) -> None:
    assert first in " ".join(units.settings(then)["Unit.After"]).split()


@pytest.mark.parametrize("name", [name for name in units.NAMES if name.endswith(".service")])
def test_none_gives_up(name: str) -> None:
    found = units.settings(name)
    assert found["Service.Restart"] == ["always"]
    assert found["Unit.StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("name", sorted(TIGHT))
def test_runs_without_rights(name: str) -> None:
    found = units.settings(name)
    assert found["Service.User"] != ["root"]
    assert found["Service.CapabilityBoundingSet"] == [""]
    assert found["Service.NoNewPrivileges"] == ["yes"]


def test_only_noded_reaches_the_admin_socket_of_the_proxy() -> None:
    proxy, noded = units.settings("noded-proxy.service"), units.settings("noded.service")
    assert proxy["Service.RuntimeDirectoryMode"] == ["0750"]
    assert proxy["Service.Group"] == noded["Service.User"], "the folder and the socket are that group's"
    text = config(Path("/run/s"), [(8100, 8100)], "", Path("/run/maps"))
    assert "  stats socket /run/s mode 660 level admin\n" in text


def test_nodes_reach_the_mesh_and_noded_its_orders() -> None:
    mesh, noded = units.settings("noded-mesh.service"), units.settings("noded.service")
    assert mesh["Service.RuntimeDirectoryMode"] == ["0755"]
    assert mesh["Service.StateDirectoryMode"] == ["0700"]
    assert mesh["Service.Group"] == noded["Service.SupplementaryGroups"]


# Each check notices an offence.


def test_notices_a_misspelt_key(tmp_path: Path) -> None:
    unit = units.lay_out(tmp_path) / "noded.service"
    unit.write_text(unit.read_text().replace("UMask", "UMaks"))
    assert "UMaks" in units.verify(tmp_path, "noded.service")


def test_notices_a_program_that_is_not_there(tmp_path: Path) -> None:
    units.lay_out(tmp_path)
    (tmp_path / "usr/sbin/haproxy").unlink()
    assert "haproxy" in units.verify(tmp_path, "noded-proxy.service")


def test_notices_a_unit_that_opens_up(tmp_path: Path) -> None:
    unit = units.lay_out(tmp_path) / "noded.service"
    unit.write_text("".join(line for line in unit.read_text().splitlines(True) if "Restrict" not in line))
    before = units.exposure(tmp_path, "noded-mesh.service")
    assert units.exposure(tmp_path, "noded.service") > before + 0.5
