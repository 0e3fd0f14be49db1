"""The store of events, and of what people said of them, in SQLite or PostgreSQL."""

from msflow_stream.events.store.connection import StoreUnavailable
from msflow_stream.events.store.decisions import UNCHANGED, Decision
from msflow_stream.events.store.store import EventStore
from msflow_stream.events.store.tables import Cursor, EventFilter, Label, StoredEvent, parse_moment

__all__ = [
    "UNCHANGED",
    "Cursor",
    "Decision",
    "EventFilter",
    "EventStore",
    "Label",
    "StoreUnavailable",
    "StoredEvent",
    "parse_moment",
]
