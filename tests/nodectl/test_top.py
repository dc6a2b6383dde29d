"""Are the rates of `top` right, does it fit narrow terminals, and is the terminal afterwards as it was?"""

import json
import os
import termios
from typing import Any

import grpc
import pytest

from nodeapi.v1 import control_pb2 as pb
from nodectl.load import HEAD, Meter, host_line, table
from tests.fakes.control import a_node, an_instance, healthy_host
from tests.nodectl.test_terminal import terminal


def looked(requests: int, bad: int = 0, identity: str = "catalog.1") -> list[pb.NodeStatus]:
    return [a_node(instances=[an_instance(identity, requests=requests, bad=bad)])]


def test_rates_are_differences_by_time() -> None:
    meter = Meter()
    (first,) = meter.read(looked(100), 10.0)
    assert (first.requests, first.errors) == (None, None)
    (second,) = meter.read(looked(130, bad=3), 12.0)
    assert (second.requests, second.errors) == (15.0, 1.5)


def test_counts_that_begin_anew_are_no_negative_rate() -> None:
    meter = Meter()
    meter.read(looked(100, bad=5), 10.0)
    assert meter.read(looked(2), 11.0)[0].requests == 0.0
    assert meter.read(looked(2, identity="catalog.2"), 12.0)[0].requests is None
    # the same moment twice has no rate
    assert meter.read(looked(9, identity="catalog.2"), 12.0)[0].requests is None


def test_a_node_is_the_sum_of_its_instances() -> None:
    both = [an_instance("catalog.1", loop_lag=0.2), an_instance("catalog.2", cpu_share=0.5)]
    (load,) = Meter().read([a_node(instances=both, restarts=3)], 1.0)
    assert (round(load.cpu, 3), load.lag, load.limit, load.restarts) == (0.573, 0.2, 512 * 2**20, 3)
    (idle,) = Meter().read([a_node(instances=[])], 1.0)
    assert (idle.cpu, idle.memory, idle.requests) == (0, 0, None)


def names(order: str) -> list[str]:
    meter = Meter()
    nodes = [
        a_node("lazy", instances=[an_instance("lazy.1", cpu_share=0.1, memory=3 * 2**30, requests=0)]),
        a_node("busy", instances=[an_instance("busy.1", cpu_share=0.9, memory=2**20, requests=0)]),
        a_node("asked", instances=[an_instance("asked.1", cpu_share=0.2, memory=2**21, requests=0)]),
    ]
    meter.read(nodes, 1.0)
    nodes[2].instances[0].requests = 50
    return [line.plain.split()[0] for line in table(meter.read(nodes, 2.0), order, 200)[1::2]]


def test_sorted_by_cpu_memory_and_requests() -> None:
    assert names("c") == ["busy", "asked", "lazy"]
    assert names("m") == ["lazy", "asked", "busy"]
    assert names("r")[0] == "asked"


@pytest.mark.parametrize("width", [200, 100, 90, 80, 70, 60, 50, 40])
def test_narrow_terminals_get_fewer_columns(width: int) -> None:
    lines = table(Meter().read([a_node()], 1.0), "c", width)
    assert max(line.cell_len for line in lines) <= max(width, 51)
    head = lines[0].plain
    assert all(word in head for word in ("NODE", "CPU", "MEMORY", "REQUESTS/S"))
    assert (head.split() == list(HEAD)) is (width >= 100)


def test_the_host_stands_above() -> None:
    host = healthy_host()
    assert host_line(host) == "web1  up 1h"
    host.cores, host.memory = 2, 4 * 2**30
    host.pressure.CopyFrom(pb.Pressure(cpu=0.021, memory=0.0, io=-1.0))
    assert host_line(host) == "web1  up 1h  2 cores  4.0 GiB  pressure cpu 2.1 %, memory 0 %, io -"


def test_without_a_terminal_it_is_printed_once(desk: Any) -> None:
    desk.control.status.nodes.extend([a_node(), a_node("shop")])
    lines = desk("top", "-d", "20ms").stdout.splitlines()
    assert lines[0].startswith("web1  up ") and lines[1].split() == list(HEAD)
    assert [line.split()[0] for line in lines[2:]] == [
        *("catalog", "catalog.1", "catalog.2", "shop", "shop.1", "shop.2")
    ]
    assert "0.0" in lines[2]
    assert len(desk.control.calls) == 2


def test_one_node_and_as_json(desk: Any) -> None:
    desk.control.status.nodes.extend([a_node(), a_node("shop")])
    found = json.loads(desk("top", "shop", "-d", "20ms", "-o", "json").stdout)
    assert [node["name"] for node in found["nodes"]] == ["shop"]
    assert found["nodes"][0]["instances"][0]["requests"] == 0.0 and found["host"]["name"] == "web1"
    assert "no such node" in desk("top", "none", expect=1).stderr
    desk.control.refusals["GetStatus"] = (grpc.StatusCode.UNAVAILABLE, "starting")
    desk("top", expect=4)


def test_it_draws_sorts_and_ends_by_keys(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    with terminal(desk, "top", "-d", "50ms", LINES="24") as screen:
        before = termios.tcgetattr(screen.master)
        screen.until(lambda: b"(now CPU)" in screen.seen)
        os.write(screen.master, b"m")
        screen.until(lambda: b"(now memory)" in screen.seen)
        os.write(screen.master, b"xr")
        screen.until(lambda: b"(now requests)" in screen.seen)
        os.write(screen.master, b"q")
        output = screen.end()
        # cbreak was taken back
        assert termios.tcgetattr(screen.master)[3] == before[3] | termios.ICANON | termios.ECHO
    assert screen.child.returncode == 0
    assert output.count("\x1b[?1049h") == output.count("\x1b[?1049l") == 1


def test_it_stays_while_noded_is_away(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    with terminal(desk, "top", "-d", "50ms", LINES="24") as screen:
        screen.until(lambda: b"(now CPU)" in screen.seen)
        desk.control.refusals["GetStatus"] = (grpc.StatusCode.UNAVAILABLE, "going down")
        screen.until(lambda: b"noded is away" in screen.seen)
        desk.control.refusals.clear()
        screen.seen = b""
        screen.until(lambda: b"(now CPU)" in screen.seen and b"noded is away" not in screen.seen[-600:])
        os.write(screen.master, b"q")
        screen.end()
    assert screen.child.returncode == 0


def test_a_short_terminal_says_how_much_more_there_is(desk: Any) -> None:
    desk.control.status.nodes.extend(a_node(f"n{number}") for number in range(20))
    with terminal(desk, "top", "-d", "50ms", LINES="10") as screen:
        screen.until(lambda: b"more" in screen.seen)
        os.write(screen.master, b"q")
        screen.end()


def test_a_dumb_terminal_gets_one_print(desk: Any) -> None:
    desk.control.status.nodes.append(a_node())
    with terminal(desk, "top", "-d", "20ms", TERM="dumb") as screen:
        output = screen.end()
    assert "\x1b" not in output and output.count("REQUESTS/S") == 1
