"""How alike events look: the features of what moves in them, beside those of normal frames of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import NormalFeatures
from msflow_stream.scenes.motion import Floats, MotionModel, speeds_of
from msflow_stream.scenes.scene import Scene
from msflow_stream.teaching.fitting.footage import TaughtFootage, extract_into
from msflow_stream.teaching.fitting.taught_frames import place_of, teaching_frames
from msflow_stream.teaching.taught import TaughtEvent

ALIKE = 0.85  # cosine of the looks of two events from which on they may be of one kind
FRAMES = 16  # of an event, and of the normal ones, at most
DOUBT = "{} is labelled normal and looks like {}, which is labelled a violation: look at both labels again"
COARSE = 2  # scales, the coarsest, that tell things apart


class Likeness:
    """What sets the features of an event apart from those of normal frames.

    Args:
        footage: with normal frames.
        normal: positions of these.
        motion: that of the scene; None where it knows none.
    """

    def __init__(self, footage: NormalFeatures, normal: Sequence[int], motion: MotionModel | None) -> None:
        scales = footage.cache.batch(_some(normal))[-COARSE:]
        self._mean = np.concatenate([scale.float().mean((0, 2, 3)).cpu().numpy() for scale in scales])
        self._spread = np.concatenate([scale.float().std((0, 2, 3)).cpu().numpy() for scale in scales]) + 1e-6
        self._motion = motion

    def looks(self, footage: NormalFeatures, positions: Sequence[int], place: npt.NDArray[np.bool_]) -> Floats | None:
        """Returns the looks of the largest thing that moves in an event, of length 1; None where it has no frame.

        Args:
            footage: with frames of the event.
            positions: of these.
            place: PLACES, where it was. All of it counts where nothing moves.
        """
        found = []
        for position in _some(positions):
            features = footage.cache.batch([position])[-COARSE:]
            where = self._largest(footage.motion.get(position), place)
            found.append((_mean_of(features, place if where is None else where), where is not None))
        moving = any(moves for _, moves in found)
        told = [looks for looks, moves in found if moves or not moving]
        if not told:
            return None
        apart = (np.mean(told, 0) - self._mean) / self._spread
        return np.asarray(apart / max(float(np.linalg.norm(apart)), 1e-6), np.float32)

    def _largest(self, field: Floats | None, place: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
        """The places of the largest thing that moves unusually; None where nothing does."""
        if self._motion is None or field is None:
            return None
        sizes = self._motion.blobs(speeds_of(field)) * place
        return (sizes == sizes.max()) & (sizes > 0) if sizes.any() else None


def looks_of(
    scene: Scene, footage: TaughtFootage, events: Sequence[TaughtEvent], by_event: Mapping[str, range]
) -> dict[str, Floats]:
    """Returns the looks of labelled events by their ids; one without frames has none.

    Args:
        scene: whose features they are.
        footage: with taught and with normal frames.
        events: all that are labelled and have clips.
        by_event: the positions of those labelled normal.
    """
    likeness, found = Likeness(footage, footage.before or footage.held_out, scene.motion), dict[str, Floats]()
    for event in events:
        frames, positions = NormalFeatures(FeatureCache()), by_event.get(event.id, range(0))
        if event.label == "violation":
            extract_into(frames, scene, teaching_frames(event, FRAMES, scene.settings.score.every, ()))
            positions = range(len(frames.frames))
        looks = likeness.looks(frames if event.label == "violation" else footage, positions, place_of(event))
        found |= {} if looks is None else {event.id: looks}
    return found


def doubts_of(events: Sequence[TaughtEvent], looks: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """Returns the events labelled normal that look like one labelled a violation: `event`, `like`, how `alike`, `text`.

    Where something is allowed and where it is not may both be right, so that this refuses nothing: a person looks.
    """
    violations = [event.id for event in events if event.label == "violation" and event.id in looks]
    normals = [event.id for event in events if event.label == "normal" and event.id in looks]
    found = []
    for id in normals if violations else ():
        alike, like = max((float(looks[id] @ looks[other]), other) for other in violations)
        if alike >= ALIKE:
            found.append({"event": id, "like": like, "alike": round(alike, 3), "text": DOUBT.format(id, like)})
    return found


def _some(positions: Sequence[int]) -> list[int]:
    """At most FRAMES of them, evenly."""
    count = min(FRAMES, len(positions))
    return [positions[at * len(positions) // count] for at in range(count)]


def _mean_of(features: Sequence[Tensor], where: npt.NDArray[np.bool_]) -> Floats:
    """The means of the features (1 C H W of every scale) over places (PLACES), one after the other."""
    means = []
    for scale in features:
        values = scale[0].float().cpu().numpy()
        weights = cv2.resize(where.astype(np.float32), values.shape[:0:-1], interpolation=cv2.INTER_AREA)
        means.append((values * weights).sum((1, 2)) / max(float(weights.sum()), 1e-6))
    return np.concatenate(means)
