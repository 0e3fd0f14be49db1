"""The preview is always a whole picture of the newest frame."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from msflow_stream.watch.outputs.preview import Preview
from tests.support.small_disk import fill, small_disk
from tests.watch.outputs.scored import STYLE, Hands, scored


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((96, 160, 3), colour, np.uint8)


def corner(path: Path) -> list[float]:
    """The colour (RGB) of a place that the overlay leaves alone."""
    image = cv2.imread(str(path))
    assert image.shape == (96, 160, 3)
    return [float(value) for value in image[40:50, 40:60, ::-1].mean((0, 1))]


def test_the_picture_is_the_frame_with_its_colours(tmp_path: Path) -> None:
    preview = Preview(tmp_path / "gate.jpg", STYLE)
    preview.write(*scored(0, image=flat((200, 100, 30))))
    preview.close()
    assert corner(tmp_path / "gate.jpg") == pytest.approx([200, 100, 30], abs=4)
    assert [path.name for path in tmp_path.iterdir()] == ["gate.jpg"]


def test_it_is_replaced_at_most_once_per_interval(tmp_path: Path) -> None:
    clock = Hands()
    preview = Preview(tmp_path / "gate.jpg", STYLE, every_seconds=2.0, clock=clock)
    seen = []
    for second in range(6):
        clock.now = float(second)
        preview.write(*scored(0, image=flat((40 * second, 40 * second, 40 * second))))
        seen.append(round(corner(tmp_path / "gate.jpg")[0] / 40))
    assert seen == [0, 0, 2, 2, 4, 4]


def test_a_full_disk_leaves_the_last_picture_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Hands()
    with small_disk(tmp_path / "disk", 65_536) as disk:
        preview = Preview(disk / "gate.jpg", STYLE, clock=clock)
        preview.write(*scored(0, image=flat((100, 100, 100))))
        filler = fill(disk)
        for second in range(1, 5):
            clock.now = float(second)
            preview.write(*scored(0, image=flat((200, 200, 200))))
        assert corner(disk / "gate.jpg")[0] == pytest.approx(100, abs=4)
        assert preview.losses == {"disk": 4}
        filler.unlink()
        clock.now = 5.0
        preview.write(*scored(0, image=flat((200, 200, 200))))
        assert corner(disk / "gate.jpg")[0] == pytest.approx(200, abs=4)
        assert sorted(path.name for path in disk.iterdir()) == ["gate.jpg"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
