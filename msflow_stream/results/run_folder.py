"""The folder of one scored source: the names of its files, its run.json and its events.json."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msflow_stream
from msflow_stream.files import write_json
from msflow_stream.types import Event, UserError

RUN, SCORES, EVENTS = "run.json", "scores.csv", "events.json"
MAPS, OVERLAY, TIMELINE = "maps.safetensors", "overlay.mp4", "timeline.png"
PACKAGES = ("torch", "timm", "FrEIA", "numpy", "pillow", "av")  # that a result depends on


def run_folders(folder: Path) -> Iterator[Path]:
    """Yields the folder itself if it holds one source's results, else its sub-folders that do."""
    if (folder / RUN).is_file():
        yield folder
    else:
        yield from sorted(path.parent for path in folder.glob(f"*/{RUN}"))


def read_run(folder: Path) -> dict[str, Any]:
    """Returns the content of a folder's run.json.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    try:
        return dict(json.loads((folder / RUN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"no {RUN} in {folder}: give a folder that `msflow-stream score` wrote") from None
    except (ValueError, TypeError):
        raise UserError(f"{folder / RUN} is damaged; score again") from None


def write_events(folder: Path, events: Sequence[Event]) -> None:
    """Writes events.json with all events so far."""
    write_json(folder / EVENTS, [_plain(asdict(event)) for event in events])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}


def versions() -> dict[str, str]:
    """Returns the versions of this program, of Python, and of the packages that a result depends on."""
    own = {"msflow_stream": msflow_stream.__version__, "python": platform.python_version()}
    return own | {package: version(package) for package in PACKAGES}
