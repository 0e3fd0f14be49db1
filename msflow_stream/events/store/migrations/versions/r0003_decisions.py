"""Notes, who labelled an event and when, decisions that can be taken back, and indices to page by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only an INTEGER counts by itself there


def upgrade() -> None:
    """Adds the columns and tables; programs of the version before go on writing events."""
    op.add_column("events", sa.Column("note", sa.String()))
    op.add_column("events", sa.Column("labelled_by", sa.String()))
    op.add_column("events", sa.Column("labelled_at", sa.DateTime(timezone=True)))
    op.drop_index("events_by_time", "events")
    op.drop_index("events_by_source", "events")
    # What filters look at is in the indices, so that rows that do not match are not read.
    op.create_index("events_by_time", "events", ["happened", "id", "severity", "source", "label", "kept"])
    op.create_index("events_by_source", "events", ["source", "happened", "id", "severity", "label", "kept"])
    op.create_index("events_by_label", "events", ["label", "happened", "id", "severity", "source"])
    op.create_table(
        "event_decisions",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("decided", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "event_changes",
        sa.Column("event", sa.String(), primary_key=True),
        sa.Column("decision", sa.BigInteger(), primary_key=True),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("undone_by", sa.String()),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
    )
    op.create_index("event_changes_by_decision", "event_changes", ["decision"])
