"""A watched camera with privacy areas: none of its files shows what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import yaml

from msflow_stream.types import Image
from msflow_stream.video.polygons import touched
from msflow_stream.video.reading.video_reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command

AREA = [[0.45, 0.6], [0.75, 0.56], [0.8, 0.78], [0.5, 0.8]]  # where an overlay writes nothing, and no arrow begins
HIDDEN = touched([(x, y) for x, y in AREA], (64, 96))
SHOWN = {"recording", "preview.jpg", "clip.mp4", "overlay.mp4", "snapshot.jpg", "snapshot_overlay.jpg"}
RINGING = 60  # of 255: what an encoder leaves beside an edge


def images_of(path: Path) -> Iterator[Image]:
    if path.suffix == ".jpg":
        image = cv2.imread(str(path))
        assert image is not None
        yield np.asarray(image, np.uint8)
    else:
        with VideoReader(path) as reader:
            yield from (frame.image for frame in reader)


def files_of(folder: Path) -> dict[str, Path]:
    paths = (path for path in folder.rglob("*") if path.suffix in (".mp4", ".mkv", ".jpg"))
    return {"recording" if path.parent.name == "recordings" else path.name: path for path in paths}


def test_every_frame_of_every_file_is_black_there(workplace: Workplace, tmp_path: Path, command: Command) -> None:
    camera = {"url": str(workplace.clips / "first.mp4"), "scene": "gate", "every": 1}
    cameras, out = tmp_path / "cameras.yaml", tmp_path / "watched"
    cameras.write_text(yaml.safe_dump({"cameras": {"private": {**camera, "privacy": [AREA]}, "plain": camera}}))
    options = ["--scenes", workplace.scenes, "--out", out, "--device", "cpu", "--http", "off"]
    assert command("watch", cameras, *options, "--record", "--preview").code == 0
    private, plain = (files_of(out / name) for name in ("private", "plain"))
    assert set(private) == set(plain) == SHOWN
    for name, path in private.items():
        images = list(images_of(path))
        assert len(images) > (0 if path.suffix == ".jpg" else 10)
        for image in images:
            assert image[HIDDEN].max() <= RINGING, name
            assert image[HIDDEN].mean() < 4, name
            assert image[~HIDDEN].mean() > 40, name
        assert all(image[HIDDEN].mean() > 40 for image in images_of(plain[name])), name
    rows = [(out / name / "scores.csv").read_text().splitlines() for name in ("private", "plain")]
    one, other = ([line.partition(",")[2] for line in lines] for lines in rows)
    assert one == other  # it is scored as without
    events = [json.loads(path.read_text()) for path in (out / "private").glob("events/*/event.json")]
    assert events
    assert all("privacy areas" in " ".join(event["evidence"]["notes"]) for event in events)
