"""What was unusual in an event, a column that events of earlier versions have nothing in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("events", sa.Column("why", sa.JSON()))
