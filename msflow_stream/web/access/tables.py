"""The tables of the console's people, which are in the database of the events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index
from sqlalchemy.orm import Mapped, mapped_column

from msflow_stream.events.store.tables import NUMBER, Base


class UserRow(Base):
    """A person who may sign in; `password` is a salted hash with its parameters."""

    __tablename__ = "console_users"

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    cameras: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    password: Mapped[str]
    created: Mapped[datetime]


class SessionRow(Base):
    """A browser that is signed in; `token` is the SHA-256 of what it holds."""

    __tablename__ = "console_sessions"
    __table_args__ = (Index("console_sessions_by_user", "user"),)

    token: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str]
    address: Mapped[str]
    browser: Mapped[str]
    created: Mapped[datetime]
    seen: Mapped[datetime]


class AuditRow(Base):
    """A line of the log of who changed what."""

    __tablename__ = "console_audit"
    __table_args__ = (Index("console_audit_by_person", "by", "id"),)

    id: Mapped[int] = mapped_column(NUMBER, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    by: Mapped[str]
    address: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
