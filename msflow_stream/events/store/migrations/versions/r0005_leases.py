"""The leases of cameras that many machines watch, and the lease under which each event was saved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

STILL_OPEN, STILL_RUNS = sa.text('"end" IS NULL'), sa.text("ended IS NULL")


def upgrade() -> None:
    """Makes the table; programs of the version before go on writing events."""
    op.add_column("events", sa.Column("fence", sa.BigInteger()))
    op.create_index("events_open", "events", ["source"], postgresql_where=STILL_OPEN, sqlite_where=STILL_OPEN)
    op.create_table(
        "lease_log",
        sa.Column("camera", sa.String(), primary_key=True),
        sa.Column("fence", sa.BigInteger(), primary_key=True),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("taken", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.String()),
    )
    op.create_index(
        "lease_log_running",
        "lease_log",
        ["camera"],
        unique=True,
        postgresql_where=STILL_RUNS,
        sqlite_where=STILL_RUNS,
    )
