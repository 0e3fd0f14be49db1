"""The stages of `score`, each alone: as it runs in the pipeline, with all cores, fed from memory."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import torch
from av.video.frame import VideoFrame

from msflow_stream.config.settings import InputSettings
from msflow_stream.cores import usable_cores
from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.files import replaced
from msflow_stream.results.overlay_file import PRESET
from msflow_stream.scenes.calibration import overlay_style
from msflow_stream.scenes.normal import learn_from
from msflow_stream.scenes.preparation import prepare
from msflow_stream.scoring.inference import SceneBatch
from msflow_stream.scoring.scorer import Scorer, ScoreRequest, measure_motion
from msflow_stream.series import batched
from msflow_stream.types import Frame, FrameScore, Image, Pixels
from msflow_stream.video.drawing.overlay import Overlay
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.sources import open_source
from msflow_stream.video.writing.video_writer import VideoWriter

from ..terminal.progress import progress
from .machine import Spent, spent

DECODING, PREPARING, MOTION, SCORING = "decode", "prepare", "motion", "score"
WHOLE_IMAGES = "prepare, by whole images"  # as stills are; beside the stages, not one of them
DRAWING, ENCODING = "draw", "encode"
DRAWING_IMAGES, ENCODING_IMAGES = "draw, on whole images", "encode, of whole images"  # beside the stages too
HELD = 32  # pictures in memory that a stage is fed with, again and again
RATE = Fraction(25)
DRAWN = 50  # pictures, shown forwards and backwards again and again: to draw one takes far longer than to score it


@dataclass(frozen=True, slots=True)
class StageFootage:
    """The footage that the stages are fed with.

    Attributes:
        seconds: of the video that count, or all of it if it is shorter.
        frames: in them; a stage works for so many.
        sampled, shown: some of its frames: those that are scored, and neighbours as they are drawn.
        scores: of the sampled ones.
    """

    video: Path
    seconds: float
    rate: Fraction
    frames: int
    sampled: list[Frame]
    shown: list[Frame]
    scores: list[FrameScore]


def read_footage(video: Path, seconds: float, scorer: Scorer) -> StageFootage:
    """Reads the video once, and scores what is held."""
    with open_source(str(video), motion_every=None, duration=seconds) as reader:
        rate, shown = reader.info.rate, list(islice(reader, HELD))
    with open_source(str(video), scorer.settings.every, duration=seconds) as reader:
        frames = iter(reader)
        sampled = list(islice(frames, HELD))
        for _ in frames:  # to the end, for their number
            pass
        if scorer.scene.joint is None:
            learn_from(scorer.scene, sampled)
        return StageFootage(video, seconds, rate, reader.frames_read, sampled, shown, list(scorer(sampled)))


class StageTimings:
    """The stages that a video goes through, with or without an overlay.

    Args:
        footage: the video, and some of it in memory.
        scorer: what scores.
        overlay: whether all frames are drawn and encoded.
        folder: for a video that is encoded, and removed.
    """

    def __init__(self, footage: StageFootage, scorer: Scorer, overlay: bool, folder: Path) -> None:
        self._footage, self._scorer, self._folder = footage, scorer, folder
        self._every = 1 if overlay else scorer.settings.every
        self._scored = -(-footage.frames // scorer.settings.every)
        whole = scorer.scene.settings.input.model_copy(update={"resize": "lanczos"})
        self.measurements: dict[str, Callable[[], Spent]] = {
            DECODING: lambda: spent(self._decode),
            PREPARING: lambda: spent(lambda: self._prepare(scorer.scene.settings.input)),
            WHOLE_IMAGES: lambda: spent(lambda: self._prepare(whole)),
            MOTION: lambda: spent(self._motion),
            SCORING: self._score,
        }
        if overlay:
            self.measurements |= {
                DRAWING: lambda: spent(lambda: _exhaust(self._drawn(footage.frames))),
                DRAWING_IMAGES: lambda: spent(lambda: _exhaust(self._drawn_images(footage.frames))),
                ENCODING: lambda: self._encode(self._drawn(len(footage.shown))),
                ENCODING_IMAGES: lambda: self._encode(self._drawn_images(len(footage.shown))),
            }

    def _decode(self) -> None:
        video, seconds, scored = str(self._footage.video), self._footage.seconds, self._scorer.settings.every
        with open_source(video, self._every, motion_every=scored, duration=seconds) as reader:
            for _ in reader:
                pass

    def _batches(self) -> Iterator[list[Frame]]:
        return batched(islice(cycle(self._footage.sampled), self._scored), self._scorer.settings.batch)

    def _prepare(self, settings: InputSettings) -> None:
        for batch in self._batches():
            with ThreadPoolExecutor(usable_cores()) as pool:
                list(pool.map(lambda frame: prepare(_anew(frame.pixels), settings), batch))

    def _motion(self) -> None:
        scene, settings = self._scorer.scene, self._scorer.settings
        for batch in self._batches():
            with ThreadPoolExecutor(usable_cores()) as pool:
                list(pool.map(lambda frame: measure_motion(ScoreRequest(frame, scene, settings)), batch))

    def _score(self) -> Spent:
        scene, settings, inference = self._scorer.scene, self._scorer.settings, self._scorer.inference
        images = [
            torch.stack([scene.prepare(frame.pixels) for frame in batch])
            for batch in batched(self._footage.sampled, settings.batch)
        ]
        batches = [one[: len(batch)] for batch, one in zip(self._batches(), cycle(images), strict=False)]
        return spent(
            lambda: [inference.measures([SceneBatch(scene, inference.features(scene, x), settings)]) for x in batches]
        )

    def _drawn(self, count: int) -> Iterator[VideoFrame]:
        overlay = self._overlay()
        for frame, score, time in self._shown(count):
            yield overlay.draw_planar(frame.pixels, score, score.score, time, alarm=False)

    def _drawn_images(self, count: int) -> Iterator[Image]:
        """The same on images in full, as stills are drawn."""
        overlay = self._overlay()
        for frame, score, time in self._shown(count):
            image = replace(frame, pixels=_anew(frame.pixels)).image
            yield overlay.draw(image, score, score.score, time, alarm=False)

    def _overlay(self) -> Overlay:
        return Overlay(overlay_style(self._scorer.scene.calibration, self._scorer.settings))

    def _shown(self, count: int) -> Iterator[tuple[Frame, FrameScore, float]]:
        """Frames with a score that is new as often as frames are sampled, and their times."""
        footage, every = self._footage, self._scorer.settings.every
        for index, frame in zip(range(count), cycle(footage.shown), strict=False):
            yield frame, footage.scores[index // every % len(footage.scores)], index / float(footage.rate)

    def _encode(self, drawn: Iterable[VideoFrame | Image]) -> Spent:
        frames, rate = list(drawn), self._footage.rate
        height, width = self._footage.shown[0].shape[:2]
        path = self._folder / "encoded.mp4"

        def encode() -> None:
            with VideoWriter(path, width, height, 1 / rate, rate, preset=PRESET) as writer:
                for index, frame in zip(range(self._footage.frames), cycle(frames), strict=False):
                    writer.write(frame, index)

        taken = spent(encode)
        path.unlink()
        return taken


def _exhaust(frames: Iterable[object]) -> None:
    for _ in frames:
        pass


def _anew(pixels: Image | Pixels) -> Image | Pixels:
    """The pixels as they were decoded, again: what was made of them is not to be had for nothing."""
    return pixels.anew() if isinstance(pixels, DecodedPixels) else pixels


def footage_folder() -> Path:
    """Returns the folder that keeps the footage between runs: a temporary one of this user's own."""
    return Path(tempfile.gettempdir()) / f"msflow-stream-bench-{getattr(os, 'getuid', lambda: 0)()}"


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
