"""Motion from a coded video to the scores: a wrong way, and five times too fast, where nothing looks unusual."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import fit_scene
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import FrameScore
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.video.writing.video_writer import VideoWriter
from tests.support.footage import small_settings

HEIGHT, WIDTH = 128, 192
RATE = Fraction(25)
STEP = 1.2  # pixels to the right per frame
Place = Callable[[int], float]  # of the left edge of the block, by the frame's index


def write(path: Path, place: Place, count: int = 100) -> Path:
    """A textured block that goes along a street of another texture."""
    random = np.random.default_rng(0)
    ground = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 3) * 150 + 100
    block = cv2.GaussianBlur(random.normal(0, 1, (40, 24)), (0, 0), 2) * 120 + 170
    with VideoWriter(path, WIDTH, HEIGHT, 1 / RATE, RATE) as writer:
        for index in range(count):
            matrix = np.array([[1, 0, place(index)], [0, 1, 50]])
            drawn, share = (cv2.warpAffine(one, matrix, (WIDTH, HEIGHT)) for one in (block, np.ones_like(block)))
            image = np.clip(ground * (1 - share) + drawn, 0, 255).astype(np.uint8)
            writer.write(np.repeat(image[..., None], 3, axis=2), index)
    return path


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, list[FrameScore]]:
    """A scene of which it is normal that a block goes to the right, and the scores of another such walk."""
    folder = tmp_path_factory.mktemp("street")
    with VideoReader(write(folder / "fit.mp4", lambda i: 20 + STEP * i), every=2) as video:
        scene = fit_scene("street", [list(video)], small_settings("fit.passes=1"))
    return scene, scored(scene, write(folder / "normal.mp4", lambda i: 21 + STEP * i))


def scored(scene: Scene, path: Path) -> list[FrameScore]:
    with VideoReader(path, every=5) as video:
        return list(Scorer(scene, "cpu")(video))


@pytest.mark.parametrize(
    "place", [lambda i: 140 - STEP * i, lambda i: 20 + 5 * STEP * (i % 20)], ids=["wrong way", "five times as fast"]
)
def test_what_moves_as_nothing_here_does_is_above_every_normal_frame(
    street: tuple[Scene, list[FrameScore]], place: Place, tmp_path: Path
) -> None:
    scene, normal = street
    found = [one for one in scored(scene, write(tmp_path / "clip.mp4", place)) if one.index % 20 >= 5]
    for kind in ("motion", "combined"):
        usual = np.nanmax([one.scores.of(kind) for one in normal])  # type: ignore[arg-type]
        assert np.median([one.scores.of(kind) for one in found]) > 1.5 * usual  # type: ignore[arg-type]
        assert min(one.scores.of(kind) for one in found) > usual  # type: ignore[arg-type]
    looks = [one.surprise for one in normal]
    assert np.median([one.surprise for one in found]) < max(looks) + 0.1 * np.median(looks)


def test_of_the_first_frame_no_motion_is_known(street: tuple[Scene, list[FrameScore]]) -> None:
    first, *others = street[1]
    assert np.isnan(first.scores.motion)
    assert np.isfinite(first.scores.combined)
    assert np.isfinite([one.scores for one in others]).all()
