"""The footage that `bench pipeline` measures with if it is given none: a synthetic camera, as H.264."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from fractions import Fraction
from pathlib import Path

from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.files import replaced
from msflow_stream.video.writing.video_writer import VideoWriter
from pipelines.terminal.progress import progress

RATE = Fraction(25)
DRAWN = 50  # pictures, shown forwards and backwards again and again: to draw one takes far longer than to score it


def footage_folder() -> Path:
    """Where the footage is kept between runs: a temporary folder of this user's own."""
    return Path(tempfile.gettempdir()) / f"msflow-stream-bench-{os.getuid()}"


def synthetic_video(height: int, seconds: float, folder: Path) -> Path:
    """A video of that height, 16:9 and 25 frames/s; made if it is not in the folder."""
    frames = max(1, round(seconds * RATE))
    path = folder / f"synthetic-{height}p-{frames}.mp4"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with multiprocessing.get_context("spawn").Pool(1) as pool, progress() as bars:  # its memory is not ours
            bars.add_task("making footage", total=None)
            pool.apply(_write, (path, 2 * round(height * 8 / 9), height, frames))
    return path


def _write(path: Path, width: int, height: int, frames: int) -> None:
    scene = SyntheticScene(width, height, RATE, seed=0, traffic_seed=0)
    pictures = [scene.frame(index).image for index in range(min(DRAWN, frames))]
    there_and_back = pictures + pictures[-2:0:-1]
    with replaced(path) as partial, VideoWriter(partial, width, height, 1 / RATE, RATE) as writer:
        for index in range(frames):
            writer.write(there_and_back[index % len(there_and_back)], index)
