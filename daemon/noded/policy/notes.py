"""Which conclusions should a person be told? They are read off what changed, in one place."""

from noded.model.actions import Note
from noded.model.incident import Incident, Stage
from noded.model.state import NodeState


def told(before: NodeState | None, after: NodeState) -> tuple[Note, ...]:
    return (*_of_incident(before, after), *_of_rollout(before, after))


def _of_incident(before: NodeState | None, after: NodeState) -> tuple[Note, ...]:
    name = after.name
    old, new = (before.healing.now if before else None), after.healing.now
    notes: list[Note] = []
    if new is not None and (old is None or old.id != new.id):
        notes.append(Note(name, new.id, f"{new.id} opened: {new.finding}"))
        old = None
    past = after.healing.past
    if new is None and old is not None and past and past[-1].id == old.id:
        new = past[-1]
    if new is None:
        return tuple(notes)
    notes += [Note(name, new.id, text) for text in _progress(old, new)]
    return tuple(notes)


def _progress(old: Incident | None, new: Incident) -> tuple[str, ...]:
    texts: list[str] = []
    if new.sites and not (old and old.sites):
        top = new.sites[0]
        grown = f"{top.bytes / 1_048_576:.1f} MiB in {top.count} objects"
        texts.append(f"{new.id} evidence: {top.file}:{top.line} {top.function} holds {grown} more")
    known = len(old.tried) if old else 0
    texts += [f"{new.id} {t.rung} {t.verdict}: {t.detail}" for t in new.tried[known:]]
    stages = (Stage.WAITING, Stage.NEEDS_PERSON, Stage.RESOLVED)
    if new.stage in stages and (old is None or old.stage is not new.stage):
        texts.append(f"{new.id} {new.stage}: {new.outcome}")
    return tuple(texts)


def _of_rollout(before: NodeState | None, after: NodeState) -> tuple[Note, ...]:
    old, new = (before.rollout if before else None), after.rollout
    if new is None or (
        old is not None and (old.id, old.stage, old.at_step) == (new.id, new.stage, new.at_step)
    ):
        return ()
    versions = f"{new.from_version} -> {new.release.version}"
    return (Note(after.name, new.id, f"{new.id} {versions} {new.stage}: {new.reason}"),)
