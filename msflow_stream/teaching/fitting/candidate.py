"""The candidate: the live scene goes on learning, from its normal footage and from what people labelled normal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msflow_stream.files import make_folder, write_json
from msflow_stream.machine import choose_device
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.scenes.feature_cache import feature_cache
from msflow_stream.scenes.folder import read_record
from msflow_stream.scenes.losses import Pass, write_losses
from msflow_stream.scenes.normal import BATCH, learn_joint
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import NormalScore, write_normal_scores
from msflow_stream.scenes.training import FlowFit
from msflow_stream.series import batched
from msflow_stream.teaching.fitting.comparison import compared
from msflow_stream.teaching.fitting.footage import TaughtFootage, extract_into, share_of_pass
from msflow_stream.teaching.fitting.labels import Labels, labels_of
from msflow_stream.teaching.fitting.likeness import looks_of
from msflow_stream.teaching.fitting.normal_features import add_normal
from msflow_stream.teaching.fitting.promise import with_same_promise
from msflow_stream.teaching.fitting.taught_frames import place_of, share_of, teaching_frames
from msflow_stream.teaching.fitting.taught_motion import with_motion
from msflow_stream.teaching.layout import teach_folder
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.taught import TaughtEvent
from msflow_stream.types import UserError

PLACE = "making"  # in the teach folder: what a candidate is made in
IDENTITY = "identity.json"
NO_FRAMES = "{} teaches nothing: all of its frames are in or near what is labelled a violation"
COPIED = ("footage.json",)  # of the live scene's folder: what it learnt from is still so
Tell = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """How a candidate learns.

    Attributes:
        passes: over the kept normal frames.
        learning_rate: at its highest.
        share: of the frames of a pass, that are taught ones; None: by the number of events (`share_of_pass`).
        seed: of the order of frames.
    """

    passes: int = 4
    learning_rate: float = 1e-4
    share: float | None = None
    seed: int = 9826


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A candidate that is made.

    Attributes:
        staged: its folder, a whole scene, from where it is to be moved.
        taught: ids of the events that it knows.
        comparison: with the live scene, as `compared` returns it.
    """

    staged: Path
    taught: tuple[str, ...]
    comparison: dict[str, Any]


def make_candidate(
    scene: Path,
    *,
    device: str = "auto",
    progress: Tell = lambda progress: None,
    by: str = "",
    lesson: Lesson | None = None,
) -> Made:
    """Makes a candidate of the live scene and everything that is labelled; killed anywhere, the same call goes on.

    Args:
        scene: the live scene's folder.
        device: such as auto, cpu or cuda.
        progress: told how far it is.
        by: who asked for it, for the record.
        lesson: how it learns.

    Raises:
        UserError: nothing is labelled normal that a fit can learn from, or the scene keeps no normal features.
    """
    lesson, labels = lesson or Lesson(), labels_of(scene)
    live = Scene.load(scene, choose_device(device))
    place = _place(scene, labels, lesson)
    candidate = Scene.load(scene, live.device)
    with feature_cache(live.settings.fit, place, live.device) as cache:
        share = share_of_pass(len(labels.normals)) if lesson.share is None else lesson.share
        footage = TaughtFootage(cache, share=share)
        by_event = _extract_taught(live, footage, labels, progress)
        add_normal(scene, live, footage)
        passes = _fit(candidate, footage, lesson, FileCheckpoints(place / "fit"), progress)
        progress(Progress(stage="calibrating", text="what is normal now"))
        before, after = _learn_normal(live, candidate, footage, {one.id: one for one in labels.normals}, by_event)
        looks = looks_of(live, footage, labels.events, by_event)
    tell = _teller(progress, "comparing", len(labels.events), "events")
    comparison = compared(live, candidate, labels.events, (before, after), looks, tell)
    comparison["text"] += labels.left_out
    comparison["text"] += [NO_FRAMES.format(one.id) for one in labels.normals if one.id not in by_event]
    candidate.record = live.record | _record(candidate, passes, tuple(by_event), by)
    staged = place / scene.name
    candidate.save(staged, overwrite=True, add=lambda folder: _add(folder, scene, passes, after))
    return Made(staged=staged, taught=tuple(by_event), comparison=comparison)


def clear(scene: Path) -> None:
    """Removes what a candidate was made in, once it is proposed."""
    shutil.rmtree(teach_folder(scene) / PLACE, ignore_errors=True)


def _place(scene: Path, labels: Labels, lesson: Lesson) -> Path:
    """The folder to work in; what another scene or other labels left in it is gone."""
    place = teach_folder(scene) / PLACE
    identity = {
        "weights": read_record(scene)["weights_sha256"],
        "events": sorted([event.id, event.label] for event in (*labels.normals, *labels.violations)),
        "lesson": [lesson.passes, lesson.learning_rate, lesson.share, lesson.seed],
    }
    try:
        known = json.loads((place / IDENTITY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if known != identity:
        shutil.rmtree(place, ignore_errors=True)
        make_folder(place)
        write_json(place / IDENTITY, identity)
    return place


def _extract_taught(live: Scene, footage: TaughtFootage, labels: Labels, progress: Tell) -> dict[str, range]:
    """Fills the footage with the frames that teach; returns their positions by event."""
    normals = labels.normals
    most, by_event = share_of(len(normals)), dict[str, range]()
    for done, event in enumerate(normals):
        progress(Progress(stage="reading", done=done, of=len(normals), unit="events"))
        kept_out = [one.span for one in labels.violations if one.source == event.source]
        frames = teaching_frames(event, most, live.settings.score.every, kept_out)
        first = len(footage.frames)
        extract_into(footage, live, frames)
        if len(footage.frames) > first:
            by_event[event.id] = range(first, len(footage.frames))
    footage.taught = len(footage.frames)
    if not footage.taught:
        raise UserError("the clips of what is labelled normal hold no frames to learn from")
    return by_event


def _fit(
    candidate: Scene, footage: TaughtFootage, lesson: Lesson, checkpoints: FileCheckpoints, progress: Tell
) -> list[Pass]:
    """Goes on with the flow from the live scene's, by the lesson; the scene's own settings stay."""
    settings = candidate.settings
    fit = settings.fit.model_copy(
        update={
            "passes": lesson.passes,
            "learning_rate": lesson.learning_rate,
            "seed": lesson.seed,
            "on_divergence": "rewind",
        }
    )
    candidate.settings = settings.model_copy(update={"fit": fit})
    flow_fit = FlowFit(candidate, footage, checkpoints)
    flow_fit.resume()
    frames = len(footage.fitted)
    done = [len(flow_fit.passes) * frames]

    def on_batch(count: int) -> None:
        done[0] += count
        progress(Progress(stage="fitting", done=done[0], of=lesson.passes * frames, unit="frames"))

    on_batch(0)
    for one in flow_fit.run(on_batch):
        done[0] = one.number * frames
    candidate.settings = settings
    return flow_fit.passes


def _learn_normal(
    live: Scene,
    candidate: Scene,
    footage: TaughtFootage,
    taught: Mapping[str, TaughtEvent],
    by_event: Mapping[str, range],
) -> tuple[list[NormalScore], list[NormalScore]]:
    """Gives the candidate its motion, joint score and thresholds; returns both scenes' scores of normal frames."""
    fitted = not footage.held_out
    footage.held_out = footage.held_out or footage.before
    if live.motion is not None:
        places = {id: place_of(event) for id, event in taught.items()}
        moved = [
            (footage.motion[position], places[id])
            for id, positions in by_event.items()
            for position in positions
            if position in footage.motion
        ]
        normal = [footage.motion[position] for position in footage.held_out if position in footage.motion]
        candidate.motion = with_motion(live.motion, moved, normal)
    # What is taught is usual at its place: normal frames move less unusually there, but no motion elsewhere says more.
    known = None if live.joint is None else live.joint.motion
    learnt = learn_joint(candidate, footage, candidate.measure_features, known)
    before = normal_scores(live, footage)
    candidate.calibration = with_same_promise(live.calibration, before, learnt, candidate.settings, fitted)
    return before, learnt.scores


def normal_scores(scene: Scene, footage: TaughtFootage) -> list[NormalScore]:
    """Returns a scene's scores of the held-out frames."""
    found = []
    for positions in batched(footage.held_out, BATCH):
        measures = scene.measure_features(footage.cache.batch(positions))
        for position, scores, heat in zip(positions, measures.scores(), measures.map.numpy(), strict=True):
            field = footage.motion.get(position)
            motion = None if scene.motion is None or field is None else scene.motion.measure(field)
            found.append(NormalScore(*footage.frames[position], scene.judge(scores, heat, motion).scores))
    return found


def _teller(progress: Tell, stage: Any, of: int, unit: str) -> Callable[[int], None]:
    return lambda done: progress(Progress(stage=stage, done=done, of=of, unit=unit))


def _record(candidate: Scene, passes: Sequence[Pass], taught: Sequence[str], by: str) -> dict[str, Any]:
    return {
        "taught": {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "events": list(taught),
            "passes": len(passes),
            "by": by,
            "device": str(candidate.device),
        }
    }


def _add(folder: Path, scene: Path, passes: Sequence[Pass], scores: Sequence[NormalScore]) -> None:
    """Writes what a scene's folder holds besides the scene."""
    for name in COPIED:
        if (scene / name).exists():
            shutil.copyfile(scene / name, folder / name)
    write_normal_scores(folder, scores)
    write_losses(folder, passes)
