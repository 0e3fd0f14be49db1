"""The statement that saves an event: in its last version, and only as its node held the camera when it was made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, case, literal, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite

from msflow_stream.events.store.leases import LeaseRow
from msflow_stream.events.store.tables import EVENT_COLUMNS, EventRow, event_values
from msflow_stream.types import Event, EventMessage, LeaseMark


def saving(message: EventMessage, dialect: str) -> Executable:
    """Returns the statement that saves the event of a message; it returns the id if it did.

    Nothing is saved where as much or more is known of the event already. A message that is marked with a lease is saved
    if it was made before that lease was over, however late it comes, unless a later holder of the camera has said
    something of the event; if it comes late the event is over, whatever it says.
    """
    event, mark = message.event, message.lease
    values = {**event_values(event), "happened": event.start_wall or datetime.now(UTC), "label": None, "kept": False}
    kind: Any = sqlite if dialect == "sqlite" else postgresql
    insert = kind.insert(EventRow)
    allowed: ColumnElement[bool] = true()
    names = list(EVENT_COLUMNS)
    if mark is None:
        insert = insert.values(**values)
    else:
        values["fence"] = mark.fence
        names.append("fence")
        insert = insert.from_select(list(values), _under_lease(event, mark, values))
        allowed = or_(EventRow.fence.is_(None), EventRow.fence <= mark.fence)
    upsert = insert.on_conflict_do_update(
        index_elements=[EventRow.id],
        set_={name: insert.excluded[name] for name in names},
        where=and_(EventRow.version < insert.excluded.version, allowed),
    )
    return upsert.returning(EventRow.id)  # type: ignore[no-any-return]


def _under_lease(event: Event, mark: LeaseMark, values: dict[str, Any]) -> Any:
    """Returns the query of the row to save: none where the lease was over when the message was made."""
    held = (LeaseRow.camera == event.source, LeaseRow.fence == mark.fence, LeaseRow.until >= mark.at)
    # Shared, so that a node that takes the camera at this moment closes what is open before this, or after.
    lease = select(LeaseRow.ended).where(*held).with_for_update(read=True).subquery()
    row: dict[str, ColumnElement[Any]] = {
        name: literal(value, getattr(EventRow, name).type) for name, value in values.items()
    }
    if event.end is None:
        end, wall = last_known(event)
        late = {"end": end, "end_wall": wall}
        for name, value in late.items():
            column = getattr(EventRow, name).type
            row[name] = case((lease.c.ended.is_(None), literal(None, column)), else_=literal(value, column))
    return select(*row.values()).select_from(lease).where(true())


def last_known(event: Event) -> tuple[float, datetime | None]:
    """Returns when an event's last activity was, as far as a message says that it lasts, and when by the clock."""
    end = max(event.start, event.peak_time, *(track.end for track in event.tracks))
    return end, None if event.start_wall is None else event.start_wall + timedelta(seconds=end - event.start)
