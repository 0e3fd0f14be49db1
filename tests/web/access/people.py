"""People for tests: a clock that is moved by hand, and passwords that are quick to check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msflow_stream.events.store import EventStore
from msflow_stream.web.access.accounts import Accounts
from msflow_stream.web.access.passwords import Cost

QUICK = Cost(n=16, r=1, p=1)
PASSWORD = "correct horse"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def accounts_of(store: EventStore, clock: Clock | None = None) -> Accounts:
    return Accounts(store, clock=clock or Clock(), cost=QUICK)
