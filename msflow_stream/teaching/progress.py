"""How far a long job of a scene is, as its folder says it: written by whoever works, read by whoever looks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msflow_stream.files import write_json

FILE = "progress.json"  # in the folder of the job
Stage = Literal["waiting", "recording", "reading", "fitting", "calibrating", "comparing", "paused", "failed", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of a job.

    Attributes:
        done, of: how much of the stage is done, in its own unit; `of` is 0 where that is not known.
        unit: such as "s of footage" or "frames".
        text: a sentence about it, such as the pass and its loss, or why it failed.
        at: when it was written, as ISO 8601.
    """

    stage: Stage
    done: float = 0.0
    of: float = 0.0
    unit: str = ""
    text: str = ""
    at: str = ""

    def write(self, folder: Path) -> None:
        """Writes it into the folder of its job, in one step, with the time of now."""
        write_json(folder / FILE, {**asdict(self), "at": datetime.now(UTC).isoformat(timespec="seconds")})

    @classmethod
    def read(cls, folder: Path) -> Progress | None:
        """Returns the one in a folder; None where there is none that can be read."""
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(**{name: values[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, TypeError, KeyError):
            return None
