"""The scorer: frames in, FrameScores out, of one scene or of many in one batch. Every verb scores by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.cores import usable_cores
from msflow_stream.machine import choose_device
from msflow_stream.model.aggregate import Maps, depth
from msflow_stream.scenes.motion import MotionMeasure, motion_of
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.inference import ImageBatch, Inference, PlainInference, Prepared, SceneBatch
from msflow_stream.series import batched
from msflow_stream.types import Frame, FrameScore, UserError
from msflow_stream.video.motion import PLACES

IN_FLIGHT = 2  # batches at a time, where a GPU computes

# The maps that are measured (B H W each), and what ranks the pixels as their `mul` does (B H W).
MapView = Callable[[Maps], tuple[Maps, Tensor]]


class FrameError(ValueError):
    """A frame that cannot be scored, for a reason of its own; the others of its batch can be."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A frame, and the scene and settings that it is scored with.

    Attributes:
        area: the pixels that count, at the scene's input size (H W), as of `area_mask`; None: all.
    """

    frame: Frame
    scene: Scene
    settings: ScoreSettings
    area: npt.NDArray[np.bool_] | None = None


class MappedScore(NamedTuple):
    """The scores of a frame with two of its maps in full precision (float32 H x W).

    Attributes:
        add: the additive map; the combined one where the scene is judged by the combined score.
        ranking_map: orders the pixels as the map `mul` does, but does not crowd near 1 where floats end; the combined
            one, too.
    """

    score: FrameScore
    add: npt.NDArray[np.float32]
    ranking_map: npt.NDArray[np.float32]


def all_maps(maps: Maps) -> tuple[Maps, Tensor]:
    """Returns the maps as they are, and `depth` to rank the pixels."""
    return maps, depth(maps)


def score_batch(requests: Sequence[ScoreRequest], inference: Inference | None = None) -> list[FrameScore]:
    """Returns the scores of one batch, in its order; each depends on its own frame, scene, settings and area only.

    Frames of equal input size whose scenes share a pyramid go through it together.

    Args:
        requests: the frames.
        inference: runs the networks; the scenes' own modules in float32 if None.

    Raises:
        FrameError: an image that is none, or an area that is not the scene's.
    """
    inference = inference or PlainInference()
    images, moved = _prepare(requests, inference)
    scores: dict[int, FrameScore] = {}
    for group in _grouped(range(len(requests)), lambda i: _input_of(requests[i])):
        runs = _grouped(group, lambda i: (id(requests[i].scene), requests[i].settings))
        parts = [
            ImageBatch(
                requests[run[0]].scene,
                [images[i] for i in run],
                requests[run[0]].settings,
                _areas([requests[i] for i in run]),
            )
            for run in runs
        ]
        for run, measures in zip(runs, inference.measure_images(parts), strict=True):
            frames, motion = [requests[i].frame for i in run], [moved[i] for i in run]
            areas, first = [requests[i].area for i in run], requests[run[0]]
            found = _frame_scores(frames, motion, first.scene, first.settings, measures, areas)
            scores |= dict(zip(run, found, strict=True))
    return [scores[i] for i in range(len(requests))]


class Scorer:
    """The scorer of one scene: batches of frames to their scores. A score depends on its own frame only.

    Example:
        >>> scene = Scene.load(Path("scenes/gate"))
        >>> with VideoReader("today.mp4", every=5) as video:
        ...     for score in Scorer(scene)(video):
        ...         print(score.time, score.score)

    Args:
        scene: a fitted scene; it is moved to `device`.
        device: auto, cpu, cuda, cuda:1 and so on.
        settings: the scene's own if None.
        inference: runs the networks; the scene's own modules in float32 if None.
    """

    def __init__(
        self,
        scene: Scene,
        device: str = "auto",
        settings: ScoreSettings | None = None,
        inference: Inference | None = None,
    ) -> None:
        self.scene = scene.to(choose_device(device))
        self.settings = settings or scene.settings.score
        self.inference = inference or PlainInference()
        self.inference.prepare(self.scene)

    @property
    def overlaps(self) -> bool:
        """Whether something else than threads computes, so that two batches at a time are worth it."""
        return self.scene.device.type != "cpu"

    def __call__(self, frames: Iterable[Frame]) -> Iterator[FrameScore]:
        """Returns the scores of all frames, in their order."""
        batches = batched(frames, self.settings.batch)
        if not self.overlaps:
            yield from chain.from_iterable(map(self.score, batches))
            return
        with ThreadPoolExecutor(IN_FLIGHT, "score") as pool:  # the next batch is prepared while the GPU computes
            begun: deque[Future[list[FrameScore]]] = deque()
            error: Exception | None = None
            while True:
                try:
                    batch = next(batches)
                except StopIteration:
                    break
                except Exception as caught:  # what came before it is scored
                    error = caught
                    break
                begun.append(pool.submit(self.score, batch))
                if len(begun) == IN_FLIGHT:
                    yield from begun.popleft().result()
            for last in begun:
                yield from last.result()
            if error is not None:
                raise error

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Returns the scores of one batch."""
        return score_batch(self._requests(frames), self.inference)

    def features(self, frames: Sequence[Frame]) -> list[Tensor]:
        """Returns the backbone's features of one batch (B C_l H_l W_l), which may be kept and scored later."""
        images, _ = _prepare(self._requests(frames), self.inference)
        return self.inference.features(self.scene, self.inference.batch(self.scene, images))

    def measure(self, features: list[Tensor]) -> Measures:
        """Returns the scores and the maps of one batch of features."""
        return self.inference.measures([SceneBatch(self.scene, features, self.settings)])[0]

    def score_with_maps(
        self, frames: Sequence[Frame], features: list[Tensor] | None = None, view: MapView = all_maps
    ) -> list[MappedScore]:
        """Returns the scores of one batch, each with its maps in full precision.

        Args:
            frames: the batch.
            features: the frames' features, as `features` returns them; computed from their images if None.
            view: chooses the maps that scores are made of, and what ranks the pixels.
        """
        features = self.features(frames) if features is None else features
        maps, ranking = view(self.inference.maps(self.scene, features, self.settings))
        motion = [measure_motion(request) for request in self._requests(frames)]
        measures = self.scene.measure_maps(maps, self.settings)
        scores = _frame_scores(frames, motion, self.scene, self.settings, measures, [None] * len(frames))
        joint = self.scene.joint
        if joint is not None and self.scene.settings.score.kind == "combined":
            heat = getattr(maps, self.settings.aggregation).cpu().numpy()
            together = [joint.map(*one) for one in zip(heat, map(_map_of, motion), strict=True)]
            return [MappedScore(*one) for one in zip(scores, together, together, strict=True)]
        add, ranks = maps.add.cpu().numpy(), ranking.cpu().numpy()
        return [MappedScore(*one) for one in zip(scores, add, ranks, strict=True)]

    def _requests(self, frames: Sequence[Frame]) -> list[ScoreRequest]:
        return [ScoreRequest(frame, self.scene, self.settings) for frame in frames]


def check_kind(scene: Scene, settings: ScoreSettings) -> None:
    """Refuses a kind of score that the scene does not have.

    Raises:
        UserError: it was fitted before there was such a kind, or without motion.
    """
    if settings.kind == "motion" and scene.motion is None:
        raise UserError(f"scene {scene.name} knows no motion: fit it again on video, or set score.kind=surprise")
    if settings.kind == "combined" and scene.joint is None:
        raise UserError(
            f"scene {scene.name} was fitted before there was a combined score: fit it again, or set score.kind=paper"
        )


def measure_motion(request: ScoreRequest) -> MotionMeasure | None:
    """Returns how unusual the motion of a frame is; None where the scene or the frame has none."""
    model = request.scene.motion
    field = None if model is None else motion_of(request.frame)
    return None if model is None or field is None else model.measure(field, _places(request.area))


def _places(area: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
    """The places of the motion field that lie in an area (H W), half or more; any part where it is smaller than one."""
    if area is None:
        return None
    share = cv2.resize(area.astype(np.float32), PLACES[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(0.5, float(share.max())))


def _map_of(motion: MotionMeasure | None) -> npt.NDArray[np.float32] | None:
    return None if motion is None else motion.map


def _input_of(request: ScoreRequest) -> Hashable:
    """Frames whose features may be computed together have the same."""
    return id(request.scene.pyramid), request.scene.settings.input.size


def _prepare(
    requests: Sequence[ScoreRequest], inference: Inference
) -> tuple[list[Prepared], list[MotionMeasure | None]]:
    """Prepares on all cores: resizing and motion take as long as half of the model, and leave Python's lock."""
    if len(requests) < 2:
        return [_prepared(one, inference) for one in requests], [measure_motion(one) for one in requests]
    with ThreadPoolExecutor(min(len(requests), usable_cores()), "prepare") as pool:
        images = pool.map(_prepared, requests, repeat(inference))
        motion = pool.map(measure_motion, requests)
        return list(images), list(motion)


def _prepared(request: ScoreRequest, inference: Inference) -> Prepared:
    frame, size = request.frame, request.scene.settings.input.size
    if request.area is not None and (request.area.shape != size or not request.area.any()):
        raise FrameError(frame.source, f"its area {request.area.shape} is empty, or not of the scene's size {size}")
    try:
        return inference.image(request.scene, frame.pixels)
    except ValueError as error:
        raise FrameError(frame.source, f"frame {frame.index}: {error}") from error


def _areas(requests: Sequence[ScoreRequest]) -> Tensor | None:
    """The areas (bool B H W) of frames with one scene; None if all pixels of all of them count."""
    if all(one.area is None for one in requests):
        return None
    whole = np.ones(requests[0].scene.settings.input.size, np.bool_)
    return torch.from_numpy(np.stack([whole if one.area is None else one.area for one in requests]))


def _frame_scores(
    frames: Sequence[Frame],
    motion: Sequence[MotionMeasure | None],
    scene: Scene,
    settings: ScoreSettings,
    measures: Measures,
    areas: Sequence[npt.NDArray[np.bool_] | None],
) -> list[FrameScore]:
    check_kind(scene, settings)
    found = []
    parts = zip(frames, motion, measures.scores(), measures.map.numpy(), areas, strict=True)
    for frame, moved, scores, heat, area in parts:
        answer = scene.judge(scores, heat, moved, area)
        found.append(
            FrameScore(
                source=frame.source,
                scene=scene.name,
                index=frame.index,
                time=frame.time,
                wall=frame.wall,
                scores=answer.scores,
                map=answer.map,
                why=answer.why,
            )
        )
    return found


def _grouped(positions: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Positions of equal keys together, in order of their first."""
    groups: dict[Hashable, list[int]] = {}
    for position in positions:
        groups.setdefault(key(position), []).append(position)
    return list(groups.values())
