"""The log of who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from msflow_stream.web.access.tables import AuditRow

ASKED_FROM: ContextVar[str] = ContextVar("asked_from", default="this machine")  # the address, within a request


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line of the log.

    Attributes:
        by: the person's name.
        address: where they were.
        action: what they did, such as label.
        target: what to: an event, a camera, a user.
        details: the values, never a secret.
    """

    number: int
    at: datetime
    by: str
    address: str
    action: str
    target: str
    details: Mapping[str, Any]


def write_audit(
    session: Session, at: datetime, by: str, action: str, target: str, details: Mapping[str, Any] | None = None
) -> None:
    """Adds a line, in the transaction of what it tells."""
    row = AuditRow(at=at, by=by, address=ASKED_FROM.get(), action=action, target=target[:500], details=details or {})
    session.add(row)


def read_audit(session: Session, limit: int, before: int | None, by: str | None) -> list[AuditLine]:
    """Returns lines, newest first: so many, with a number below `before`, of one person."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.id < before)
    if by is not None:
        query = query.where(AuditRow.by == by)
    return [
        AuditLine(row.id, row.at, row.by, row.address, row.action, row.target, row.details)
        for row in session.scalars(query)
    ]
