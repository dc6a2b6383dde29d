"""`candidate export`: a machine-written change, for the checkout of the people who own the node."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from nodeapi.v1 import control_pb2 as pb
from nodectl.client import Client
from nodectl.commands.diff import release_side
from nodectl.differences import Side
from nodectl.failures import Exit, Failure
from nodectl.keep import keep
from nodectl.mailbox import Letter, Unwritable, git_diff, mailed
from nodectl.screen import as_written
from nodectl.session import Session
from nodespec.tree import MANIFEST

HEALED = "+heal."


def export(session: Session, node: str, version: str, mail: bool, prefix: str, out: str) -> None:
    """All that machines changed since the last release of a person."""
    doing = f"export a candidate of {node}"
    if ".." in Path(prefix).parts:
        raise Failure(f"--prefix {prefix}: expected a folder inside the checkout", Exit.USAGE)
    with Client(session) as client:
        status = client.status(doing, node)
        found = next((one for one in status.nodes if one.name == node), pb.NodeStatus())
        request = pb.ListReleasesRequest(node=node)
        known = list(client.ask(doing, client.stub.ListReleases, request, node).releases)
        wanted = _wanted(node, version, found, known)
        before = release_side(client, session, node, wanted.partition(HEALED)[0])
        after = release_side(client, session, node, wanted)
    try:
        text = git_diff(before, after, prefix)
    except Unwritable as error:
        hint = f"nodectl diff {node} {before.name} {wanted}"
        raise Failure(f"cannot {doing}: no patch can hold {error}", Exit.FAILED, hint) from None
    if not text:
        raise Failure(f"{node} {wanted} differs from {before.name} in nothing but its version")
    if mail:
        made = next((one.recorded_at for one in known if one.version == wanted), 0.0)
        text = mailed(_letter(status.host.name, found, wanted, made, after), text)
    if out not in ("", "-"):
        keep([text.encode()], out)
    else:
        as_written(text)


def _wanted(node: str, version: str, found: pb.NodeStatus, known: Sequence[pb.ReleaseStatus]) -> str:
    """The version asked for, else the newest that machines wrote, what runs first."""
    if version and HEALED not in version:
        text = f"{node} {version} was not written by a machine: its version would end with {HEALED}1"
        raise Failure(text, Exit.USAGE, f"nodectl releases {node}")
    if version:
        return version
    here = [one.version for one in known if one.state != "removed"]
    healed = [one for one in (found.version, found.rollout.to_version, *here) if HEALED in one]
    if not healed:
        text = f"no release of {node} on this host was written by a machine"
        raise Failure(text, hint=f"nodectl releases {node}")
    return healed[0]


def _letter(host: str, found: pb.NodeStatus, version: str, made: float, after: Side) -> Letter:
    stem = version.partition(HEALED)[0] + HEALED
    incidents = [
        one
        for one in (*found.past_incidents, found.incident)
        if one.regeneration.version.startswith(stem) and _number(one.regeneration.version) <= _number(version)
    ]
    body = [
        f"Release {version} of {found.name}, written by noded on {host} and rolled out there.",
        *(part for one in incidents for part in _told(one)),
        *(f"Constraint: {one}" for one in _constraints(after)),
    ]
    cause = ", ".join(f"{one.signature} (incident {one.id})" for one in incidents)
    place = re.sub(r"[^A-Za-z0-9.-]", "-", host) or "localhost"
    subject = f"{found.name}: a cure for {cause}" if cause else f"{found.name}: the change of {version}"
    return Letter(f"noded <noded@{place}>", made, subject, body)


def _number(version: str) -> int:
    count = version.partition(HEALED)[2]
    return int(count) if count.isdecimal() and len(count) < 10 else 0


def _told(incident: pb.IncidentStatus) -> list[str]:
    made = incident.regeneration
    gates = ", ".join(gate.name for gate in made.gates if gate.passed)
    parts = [
        f"Incident: {incident.id}, {incident.signature}",
        f"Finding: {incident.finding}",
        f"Written by: {made.generator}" if made.generator else "",
        f"Gates passed: {gates}" if gates else "",
    ]
    return [part for part in parts if part]


def _constraints(release: Side) -> list[str]:
    manifest = release.items.get(MANIFEST)
    try:
        raw = tomllib.loads("".join(manifest.lines or ())) if manifest else {}
    except (ValueError, RecursionError):
        return []
    told = raw.get("regeneration", {}).get("constraints", [])
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []
