"""The script that Alembic runs to migrate, on the connection it was given, in the transaction that is open."""

from __future__ import annotations

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table=attributes["version_table"])
context.run_migrations()
