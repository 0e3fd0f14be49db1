"""The table of events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "events",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("scene", sa.String(), nullable=False),
        sa.Column("triggers", sa.JSON(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("end", sa.Double()),
        sa.Column("start_wall", sa.DateTime(timezone=True)),
        sa.Column("end_wall", sa.DateTime(timezone=True)),
        sa.Column("peak_score", sa.Double(), nullable=False),
        sa.Column("peak_index", sa.BigInteger(), nullable=False),
        sa.Column("peak_time", sa.Double(), nullable=False),
        sa.Column("probability", sa.Double()),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("regions", sa.JSON(), nullable=False),
        sa.Column("tracks", sa.JSON(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("happened", sa.DateTime(timezone=True), nullable=False),
        sa.Column("label", sa.String()),
        sa.Column("kept", sa.Boolean(), nullable=False),
    )
    op.create_index("events_by_time", "events", ["happened"])
    op.create_index("events_by_source", "events", ["source", "happened"])
