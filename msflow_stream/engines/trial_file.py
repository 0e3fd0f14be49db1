"""The file that remembers trials, so that a machine has each of them once."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msflow_stream.files import replaced
from msflow_stream.scoring.engine_trial import Found, Verdict

log = logging.getLogger(__name__)


class TrialFile:
    """Verdicts by what they depend on. A file that cannot be read is as an empty one, one that cannot be written stays.

    Args:
        path: of a JSON file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, identity: dict[str, Any]) -> Verdict | None:
        """The verdict of a trial that depends on the same things."""
        entry = self._entries().get(_key(identity))
        return None if entry is None else _verdict(entry)

    def write(self, identity: dict[str, Any], verdict: Verdict) -> None:
        """Adds a verdict."""
        found = {name: asdict(one) for name, one in verdict.found.items()}
        entries = self._entries() | {_key(identity): identity | {"found": found}}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(self.path) as partial:
                partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            log.debug("the trial is not remembered: %s", error)

    def all(self) -> list[tuple[dict[str, Any], Verdict]]:
        """What trials there were: what each depends on, and its verdict."""
        entries = self._entries().values()
        return [(entry, verdict) for entry in entries if (verdict := _verdict(entry)) is not None]

    def _entries(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


def _verdict(entry: Any) -> Verdict | None:
    try:
        return Verdict({str(k): Found(float(v["milliseconds"]), float(v["error"])) for k, v in entry["found"].items()})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _key(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
