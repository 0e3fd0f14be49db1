"""Decisions of people about events: what each was before is kept, so that a decision can be taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal, get_args

from sqlalchemy import select, update
from sqlalchemy.orm import Session, load_only

from msflow_stream.events.store.tables import ChangeRow, DecisionRow, EventRow, Label
from msflow_stream.types import UserError

MOST_NOTE = 4000  # characters
AT_ONCE = 500  # events in a query: databases limit its parameters


class Unchanged(Enum):
    """The type of `UNCHANGED`, which leaves as it is what a decision is not about."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return self.name


UNCHANGED: Literal[Unchanged.UNCHANGED] = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one event.

    Attributes:
        number: of the decision, which may be about many events.
        by: who decided.
        at: when.
        before, after: those of `label`, `kept` and `note` that it set, with their values before and after.
        undone_by, undone_at: who took it back for this event, and when; None where it stands.
    """

    number: int
    by: str
    at: datetime
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undone_by: str | None
    undone_at: datetime | None


def checked_changes(
    label: Label | Unchanged | None, kept: bool | Unchanged, note: str | Unchanged | None
) -> dict[str, Any]:
    """Returns what a decision sets.

    Raises:
        UserError: there is no such label, or the note is too long.
    """
    if label is not UNCHANGED and label is not None and label not in get_args(Label):
        raise UserError(f"{label!r} is no label: give {', '.join(get_args(Label)[:-1])} or {get_args(Label)[-1]}")
    if isinstance(note, str):
        note = "".join(letter for letter in note if is_text(letter)).strip() or None
        if note is not None and len(note) > MOST_NOTE:
            raise UserError(f"this note has {len(note)} characters: {MOST_NOTE} at most")
    given = {"label": label, "kept": kept, "note": note}
    return {name: value for name, value in given.items() if value is not UNCHANGED}


def decide(session: Session, ids: Sequence[str], by: str, changes: Mapping[str, Any]) -> int:
    """Sets what was decided of events, notes what they were before, and returns the decision's number.

    Raises:
        UserError: there is no such event; then none is changed.
    """
    rows = _locked(session, [id for id in ids if is_text(id)])
    found = {row.id for row in rows}
    for id in ids:
        if id not in found:
            raise UserError(f"there is no event {id!r}")
    now = datetime.now(UTC)
    decision = DecisionRow(by=by, decided=now)  # its number is drawn under the lock: higher ones came later
    session.add(decision)
    session.flush()
    values = dict(changes)
    if "label" in changes:
        said = changes["label"] is not None
        values.update(labelled_by=by if said else None, labelled_at=now if said else None)
    for row in rows:
        before = _said(row, values)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(ChangeRow(decision=decision.id, event=row.id, before=before, after=_said(row, values)))
    return decision.id


def undo(session: Session, number: int, by: str) -> list[str]:
    """Puts the events of a decision back to what they were before it, and returns their ids.

    An event that somebody decided otherwise about since, or that was put back already, stays as it is.

    Raises:
        UserError: there is no such decision.
    """
    rows = _locked(session, decided_events(session, number))
    if not rows:
        raise UserError(f"there is no decision {number}")
    changes = {row.event: row for row in session.scalars(select(ChangeRow).where(ChangeRow.decision == number))}
    now, put_back = datetime.now(UTC), []
    for row in rows:
        change = changes[row.id]
        if change.undone_at is not None or _said(row, change.after) != change.after or _decided_since(session, change):
            continue
        for name, value in change.before.items():
            setattr(row, name, datetime.fromisoformat(value) if name == "labelled_at" and value else value)
        change.undone_by, change.undone_at = by, now
        put_back.append(row.id)
    return put_back


def decisions(session: Session, event: str) -> list[Decision]:
    """Returns the decisions about an event, newest first."""
    query = select(ChangeRow, DecisionRow).join(DecisionRow, DecisionRow.id == ChangeRow.decision)
    query = query.where(ChangeRow.event == event).order_by(ChangeRow.decision.desc())
    return [
        Decision(
            *(made.id, made.by, made.decided, _without_who(change.before), _without_who(change.after)),
            *(change.undone_by, change.undone_at),
        )
        for change, made in session.execute(query)
    ]


def decided_events(session: Session, number: int) -> list[str]:
    """Returns the ids of the events that a decision is about; none where there is no such decision."""
    return list(session.scalars(select(ChangeRow.event).where(ChangeRow.decision == number)))


def is_text(text: str) -> bool:
    """Returns whether every database takes a text: no zero byte, and no half of a letter, as JSON may have."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _locked(session: Session, ids: Sequence[str]) -> list[EventRow]:
    """Returns rows that nobody else decides about until the end of the transaction."""
    # SQLite: a write, of nothing, keeps other programs from writing. PostgreSQL locks the rows below.
    session.execute(update(DecisionRow).where(DecisionRow.id == -1).values(by=""))
    columns = (EventRow.label, EventRow.kept, EventRow.note, EventRow.labelled_by, EventRow.labelled_at)
    ordered = sorted(set(ids))  # so that two decisions never wait for each other
    rows: list[EventRow] = []
    for first in range(0, len(ordered), AT_ONCE):
        query = select(EventRow).where(EventRow.id.in_(ordered[first : first + AT_ONCE])).order_by(EventRow.id)
        rows += session.scalars(query.options(load_only(*columns)).with_for_update())
    return rows


def _said(row: EventRow, names: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is said of an event, for JSON."""
    values = {name: getattr(row, name) for name in names}
    return {name: one.isoformat() if isinstance(one, datetime) else one for name, one in values.items()}


def _without_who(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in ("label", "kept", "note")}


def _decided_since(session: Session, change: ChangeRow) -> bool:
    """Returns whether a later decision that stands is about the same of the same event."""
    later = select(ChangeRow).where(ChangeRow.event == change.event, ChangeRow.decision > change.decision)
    standing = session.scalars(later.where(ChangeRow.undone_at.is_(None)))
    return any(not set(other.after).isdisjoint(change.after) for other in standing)
