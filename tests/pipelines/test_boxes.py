"""Where in the picture an event is: its boxes, against the labelled pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from msflow_stream.types import Box
from tests.pipelines.conftest import Workplace
from tests.support.command import Command


def share_inside(boxes: list[Box], mask: np.ndarray) -> float:  # type: ignore[type-arg]
    """The share of the boxes' pixels that lie in the bounding box of the mask."""
    rows, columns = np.nonzero(mask)
    cart = np.zeros(mask.shape, bool)
    cart[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    found = np.zeros(mask.shape, bool)
    for x, y, width, height in boxes:
        found[y : y + height, x : x + width] = True
    return float((found & cart).sum() / found.sum())


def test_the_boxes_of_an_event_are_about_the_cart(workplace: Workplace, command: Command, tmp_path: Path) -> None:
    job = ["--scene", "gate", "--scenes", workplace.scenes, "--out", tmp_path / "run", "--no-overlay"]
    assert command("score", workplace.clips / "first.mp4", *job).code == 0
    events = json.loads((tmp_path / "run" / "first" / "events.json").read_text())
    masks = np.load(workplace.clips / "masks" / "first.npy")
    assert events
    for event in events:
        assert event["regions"], "an event is somewhere"
        cart = masks[round(event["start"] * 25) : round(event["end"] * 25) + 1].any(0)
        assert cart.mean() < 0.3, "else boxes anywhere would do"
        assert share_inside(event["regions"], cart) > 0.6
