"""The command line, from a checkout: `python cli.py VERB ...` does what `msflow-stream VERB ...` does."""

from __future__ import annotations

from pipelines.commands.app import app, main

__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
