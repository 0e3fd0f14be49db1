"""Both kinds of databases."""

from tests.support.postgres import postgres_server, store_url

__all__ = ["postgres_server", "store_url"]
