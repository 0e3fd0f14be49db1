"""Our contenders, and the plain PyTorch MSFlow on the same scene: each runs in a process that it is started in."""

from __future__ import annotations

import io
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from msflow_stream.config.settings import Settings
from msflow_stream.scenes.preparation import prepare
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.video.reading.image_folder import image_files
from msflow_stream.video.sources import open_source

from ...fit import FitJob, fit
from ...score import score
from ...score_source import ScoreJob
from ..machine import Spent, peak_memory
from ..plain import plain_model
from .runs import WARM_UP, ClipScores, Fitted, Run

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A scene, the clips to score, and a folder for what `score` writes."""

    scene: Path
    clips: Sequence[str]
    folder: Path


class OwnContender:
    """A way to score with a scene.

    Args:
        scene: folder of the scene.
        scores: what runs in the process.
        fitted: the scene's fit.
        dropped: variables of the environment that the process does not inherit.
    """

    def __init__(self, scores: Callable[[OwnRequest], Run], fitted: Fitted, dropped: Sequence[str] = ()) -> None:
        self._scores, self.fitted, self._dropped = scores, fitted, dropped

    def run(self, clips: Sequence[str], folder: Path) -> Run:
        """Scores all clips in a new process."""
        with _dropped(self._dropped), multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(self._scores, (OwnRequest(self.fitted.model, clips, folder),))


def fit_scene(sources: Sequence[str], folder: Path, settings: Settings) -> float:
    """Fits a scene as `fit` does and returns the seconds that it took."""
    started = time.perf_counter()
    with redirect_stderr(io.StringIO()):
        fit(sources, folder, settings, FitJob(device="cpu", overwrite=True), Console(file=io.StringIO()))
    return time.perf_counter() - started


def score_verb(request: OwnRequest) -> Run:
    """Runs `score`, with all that it writes but overlay and evidence."""
    scorer, load = _loaded(request)
    job = ScoreJob(out=request.folder / "run", overlay=False, evidence=False, overwrite=True)
    warm_up = ScoreJob(
        out=request.folder / "warm-up",
        overlay=False,
        evidence=False,
        overwrite=True,
        max_frames=WARM_UP * scorer.settings.every,
    )
    with redirect_stderr(io.StringIO()):  # where its progress bar would disturb ours
        score(request.clips[:1], scorer, warm_up, Console(file=io.StringIO()))
        wall, cpu = time.perf_counter(), time.process_time()
        results, _ = score(request.clips, scorer, job, Console(file=io.StringIO()))
        spent = Spent(time.perf_counter() - wall, time.process_time() - cpu)
    kind = scorer.settings.kind
    clips = [ClipScores(one.frames, [(row.index, row.scores.of(kind)) for row in one.rows]) for one in results]
    return Run(load, spent, peak_memory(), clips)


def score_library(request: OwnRequest) -> Run:
    """Scores as the library's example does: a reader, a scorer, and nothing written."""
    scorer, load = _loaded(request)
    every, kind = scorer.settings.every, scorer.settings.kind
    motion_every = every if scorer.scene.motion is not None else None
    with open_source(request.clips[0], every, motion_every=motion_every, max_frames=WARM_UP * every) as reader:
        for _ in scorer(reader):
            pass
    clips, wall, cpu = [], time.perf_counter(), time.process_time()
    for clip in request.clips:
        with open_source(clip, every, motion_every=motion_every) as reader:
            scored = [(one.index, one.scores.of(kind)) for one in scorer(reader)]
            clips.append(ClipScores(reader.frames_read, scored))
    return Run(load, Spent(time.perf_counter() - wall, time.process_time() - cpu), peak_memory(), clips)


def score_plain(request: OwnRequest) -> Run:
    """Scores with the plain model, a frame at a time: OpenCV decodes every frame, Pillow resizes every fifth."""
    started = time.perf_counter()
    scene = Scene.load(request.scene)
    model, every, settings = plain_model(scene), scene.settings.score.every, scene.settings.input
    if settings.resize == "area":  # as Pillow does it
        settings = settings.model_copy(update={"resize": "box"})
    load = time.perf_counter() - started

    def score_image(image: Image) -> float:
        with torch.inference_mode():
            return float(model(prepare(image, settings)[None]).score)

    first = (image for _, image in _sampled(request.clips[0], every) if image is not None)
    for one in islice(first, WARM_UP):
        score_image(one)
    clips, wall, cpu = [], time.perf_counter(), time.process_time()
    for clip in request.clips:
        frames, scored = 0, []
        for index, image in _sampled(clip, every):
            frames = index + 1
            if image is not None:
                scored.append((index, score_image(image)))
        clips.append(ClipScores(frames, scored))
    return Run(load, Spent(time.perf_counter() - wall, time.process_time() - cpu), peak_memory(), clips)


@contextmanager
def _dropped(names: Sequence[str]) -> Iterator[None]:
    """Variables are gone from this process's environment, and come back."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ |= kept


def _loaded(request: OwnRequest) -> tuple[Scorer, float]:
    started = time.perf_counter()
    scene = Scene.load(request.scene)
    scorer = Scorer(scene, "cpu", inference=make_inference(scene.settings.engine))
    return scorer, time.perf_counter() - started


def _sampled(clip: str, every: int) -> Iterator[tuple[int, Image | None]]:
    """Every frame's index, and its image (RGB) where it is sampled."""
    for index, image in enumerate(_images(image_files(Path(clip))) if Path(clip).is_dir() else _video(clip)):
        yield index, cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False) if index % every == 0 else None


def _video(clip: str) -> Iterator[cv2.typing.MatLike]:
    capture = cv2.VideoCapture(clip)
    try:
        while True:
            there, image = capture.read()
            if not there:
                return
            yield image
    finally:
        capture.release()


def _images(paths: Sequence[Path]) -> Iterator[cv2.typing.MatLike]:
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert image is not None
        yield image
