"""Labelled events of a small scene, as `sync` keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from msflow_stream.datasets.synthetic import Violation
from msflow_stream.events.serialization import event_to_json
from msflow_stream.teaching.layout import taught_folder
from msflow_stream.teaching.taught import KEY, TaughtLabel
from msflow_stream.types import Box
from tests.support.events import event
from tests.support.footage import write_clip


def teach(
    scene: Path,
    id: str,
    label: TaughtLabel,
    violations: Sequence[Violation],
    span: tuple[float, float],
    *,
    seconds: float = 3.0,
    traffic: int = 5,
    regions: Sequence[Box] = (),
    source: str = "gate",
) -> None:
    """Keeps an event whose clip shows violations."""
    folder = taught_folder(scene) / id
    folder.mkdir(parents=True, exist_ok=True)
    clip = write_clip(folder, "clip", seconds, violations, traffic)
    said = event(
        id, source=source, triggers=("appearance",), start=span[0], end=span[1], regions=tuple(regions), tracks=()
    )
    values = {
        "label": label,
        "labelled_by": "anna",
        "labelled_at": "2026-01-02T04:00:00+00:00",
        "happened": "2026-01-02T03:04:05+00:00",
        "clips": [{"file": clip.name, "start": 0.0, "end": seconds}],
        "obstacle": None,
    }
    (folder / "event.json").write_text(json.dumps({"kind": "close", "event": event_to_json(said), KEY: values}))
