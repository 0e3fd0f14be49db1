"""`score` in units, on this machine or on a cluster: a source or a part of one each, which can be done anywhere."""

from __future__ import annotations

import logging
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from msflow_stream.config.settings import EngineSettings, ScoreSettings
from msflow_stream.evaluation.clip_truth import ClipTruth, find_truth
from msflow_stream.scenes.exchange import scene_identity
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import images_of, make_inference
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from msflow_stream.video.reading.video_parts import PartError
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.video.sources import open_source

from .score_kept import ASIDE, keep, kept, staging
from .score_parts import PART, PartScores, ScorePart, plan_parts, score_part
from .score_source import ScoreJob, score_source
from .storage.copies import local_copy
from .storage.places import Place
from .storage.urls import Spec, is_url
from .terminal.progress import progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScorerFacts:
    """What a scorer is made from, wherever it is.

    Attributes:
        scene: the scene's folder, or its URL.
        identity: tells it from a scene that takes its place meanwhile.
        device: such as cpu or cuda.
        settings, engine: how it scores.
        calibration: normal footage for an engine that needs it.
    """

    scene: Spec
    identity: str | None
    device: str
    settings: ScoreSettings
    engine: EngineSettings
    calibration: tuple[str, ...] = ()

    def make(self) -> Scorer:
        """Makes the scorer.

        Raises:
            UserError: the scene is another one by now, or no device or engine is there.
        """
        with local_copy(self.scene) as folder:
            if scene_identity(folder) != self.identity:
                raise UserError(f"scene {folder.name} was changed while it was used: run the same command again")
            scene = Scene.load(folder)
        normal = images_of(self.calibration) if self.calibration else None
        return Scorer(scene, self.device, self.settings, make_inference(self.engine, normal))


@dataclass(frozen=True, slots=True)
class SpreadJob:
    """What all units of a job know.

    Attributes:
        score: the job as on one machine; its folder, labels and masks do not count.
        out: where results go.
        labels, masks: as of `ScoreJob`, or at a URL.
        part_seconds: length of the parts of long videos; None: videos are left whole.
    """

    score: ScoreJob
    out: Place
    labels: Spec | None
    masks: Spec | None
    part_seconds: float | None


class SpreadSource(NamedTuple):
    """One source: where it is, its folder's name, what tells its results from others, and whether there is no other."""

    spec: Spec
    name: str
    identity: str
    alone: bool

    @property
    def parts(self) -> str:
        """The folder of its parts, in the run's."""
        return f"{ASIDE}/parts/{self.name}-{self.identity}"


class Parts(NamedTuple):
    """An answer: the source is to be scored in parts."""

    parts: list[ScorePart]


class Unfit(NamedTuple):
    """An answer: the source cannot be scored in parts."""

    reason: str


def score_or_plan(scorer: Scorer, source: SpreadSource, job: SpreadJob) -> Parts | None:
    """Scores a source, or returns the parts of a long video that are to be scored one by one.

    Raises:
        UserError: as `score_source`, or labels that do not fit.
    """
    if kept(job.out, source.name, source.identity) is not None:
        return None  # by somebody who was thought dead
    with local_copy(source.spec) as path:
        if job.part_seconds is not None and path.is_file():
            with VideoReader(path, motion_every=None) as reader:
                info = reader.info
            parts = plan_parts(path, info, scorer, job.score, job.part_seconds)
            if parts:
                return Parts(parts)
        _score(scorer, path, source, job)
    return None


def score_whole(scorer: Scorer, source: SpreadSource, job: SpreadJob) -> None:
    """Scores a source that cannot be scored in parts."""
    with local_copy(source.spec) as path:
        _score(scorer, path, source, job)


def score_one_part(scorer: Scorer, source: SpreadSource, part: ScorePart, job: SpreadJob) -> Unfit | None:
    """Scores a part of a source into a folder of its own, unless that is done."""
    name = f"{source.parts}/{part.number:05d}"
    if job.out.is_complete(name, PART):
        return None
    staged = staging(job.out)
    try:
        with local_copy(source.spec) as path:
            score_part(path, part, scorer, job.score, staged)
    except PartError as error:
        shutil.rmtree(staged)
        return Unfit(str(error))
    target = job.out.folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        staged.rename(target)
    job.out.publish(name, PART)
    job.out.forget(name)
    return None


def join_parts(scorer: Scorer, source: SpreadSource, parts: int, job: SpreadJob) -> None:
    """Writes the results of a source whose parts are scored; where these do not fit together, scores it as a whole."""
    names = [f"{source.parts}/{number:05d}" for number in range(parts)]
    with local_copy(source.spec) as path:
        try:
            if not all(job.out.fetch(name, PART) for name in names):
                raise PartError("a part is gone")
            _score(PartScores(scorer, [job.out.folder / name for name in names]), path, source, job)
        except PartError as error:
            log.info("%s is scored as a whole: %s", source.name, error)
            _score(scorer, path, source, job)
    job.out.remove(source.parts)


def _score(scorer: Scorer, path: Path, source: SpreadSource, job: SpreadJob) -> None:
    """Scores a source into a folder that becomes the result once it is complete."""
    staged = staging(job.out)
    try:
        with ExitStack() as stack:
            truth = _truth(path, source, job, stack)
            bars: Progress = stack.enter_context(progress())
            own = replace(job.score, out=staged)
            result = score_source(
                str(path), scorer, own, truth, bars, origin=str(source.spec) if is_url(source.spec) else None
            )
        if result.interrupted:
            raise KeyboardInterrupt
        if result.damaged and isinstance(scorer, PartScores):
            raise PartError("it is damaged")
        keep(job.out, staged / source.name, source.identity, result, truth)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    job.out.forget(source.name)


def _truth(path: Path, source: SpreadSource, job: SpreadJob, stack: ExitStack) -> ClipTruth | None:
    if job.labels is None and job.masks is None:
        return None
    with open_source(str(path), image_rate=job.score.image_rate, motion_every=None) as reader:
        frames = reader.info.frames
    places = [None if one is None else stack.enter_context(local_copy(one)) for one in (job.labels, job.masks)]
    return find_truth(str(path), source.name, frames, places[0], places[1], source.alone)
