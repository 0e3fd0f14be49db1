"""Frames in, FrameScores out: of one scene, or of many in one batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.machine import choose_device, usable_cores
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.inference import Inference, PlainInference, SceneBatch
from msflow_stream.series import batched
from msflow_stream.types import Frame, FrameScore


class FrameError(ValueError):
    """A frame that cannot be scored, for a reason of its own; the others of its batch can be."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A frame, and against what it is scored.

    Attributes:
        area: the pixels that count, at the scene's input size (H W), as of `area_mask`; None: all.
    """

    frame: Frame
    scene: Scene
    settings: ScoreSettings
    area: npt.NDArray[np.bool_] | None = None


def score_batch(asked: Sequence[ScoreRequest], scoring: Inference | None = None) -> list[FrameScore]:
    """Scores of one batch, in its order; each depends on its own frame, scene, settings and area only.

    Frames of equal input size whose scenes share a pyramid go through it together.

    Args:
        asked: the frames.
        scoring: what runs the networks, the scenes' own modules in float32 if None.

    Raises:
        FrameError: an image that is none, or an area that is not the scene's.
    """
    scoring = scoring or PlainInference()
    images = _prepare(asked, scoring)  # 3 H W each
    scores: dict[int, FrameScore] = {}
    for group in _grouped(range(len(asked)), lambda i: (id(asked[i].scene.pyramid), images[i].shape)):
        runs = _grouped(group, lambda i: (id(asked[i].scene), asked[i].settings))
        scenes = [asked[run[0]].scene for run in runs]
        scoring.expect(scenes[:2])
        features = scoring.features(scenes[0], torch.stack([images[i] for i in chain(*runs)]))
        split = zip(*(torch.split(scale, [len(run) for run in runs]) for scale in features), strict=True)
        parts = [
            SceneBatch(scene, list(own), asked[run[0]].settings, _areas([asked[i] for i in run]))
            for scene, own, run in zip(scenes, split, runs, strict=True)
        ]
        for run, measures in zip(runs, scoring.measures(parts), strict=True):
            scores |= {i: _frame_score(asked[i], measures, row) for row, i in enumerate(run)}
    return [scores[i] for i in range(len(asked))]


class Scorer:
    """Scores frames of one scene in batches. A score depends on its own frame only.

    Example:
        >>> scene = Scene.load(Path("scenes/gate"))
        >>> with VideoReader("today.mp4", every=5) as video:
        ...     for score in Scorer(scene)(video):
        ...         print(score.time, score.score)

    Args:
        scene: a fitted scene; it is moved to `device`.
        device: auto, cpu, cuda, cuda:1 and so on.
        settings: the scene's own if None.
        scoring: what runs the networks, the scene's own modules in float32 if None.
    """

    def __init__(
        self,
        scene: Scene,
        device: str = "auto",
        settings: ScoreSettings | None = None,
        scoring: Inference | None = None,
    ) -> None:
        self.scene = scene.to(choose_device(device))
        self.settings = settings or scene.settings.score
        self.scoring = scoring or PlainInference()
        self.scoring.prepare(self.scene)

    def __call__(self, frames: Iterable[Frame]) -> Iterator[FrameScore]:
        """Scores of all frames, in their order."""
        for batch in batched(frames, self.settings.batch):
            yield from self.score(batch)

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Scores of one batch."""
        return score_batch([ScoreRequest(frame, self.scene, self.settings) for frame in frames], self.scoring)


def _prepare(asked: Sequence[ScoreRequest], scoring: Inference) -> list[Tensor]:
    """All on all cores: resizing a large picture takes as long as a third of the model, and leaves Python's lock."""
    if len(asked) < 2:
        return [_prepared(one, scoring) for one in asked]
    with ThreadPoolExecutor(min(len(asked), usable_cores()), "prepare") as pool:
        return list(pool.map(_prepared, asked, repeat(scoring)))


def _prepared(asked: ScoreRequest, scoring: Inference) -> Tensor:
    frame, size = asked.frame, asked.scene.settings.input.size
    if asked.area is not None and (asked.area.shape != size or not asked.area.any()):
        raise FrameError(frame.source, f"its area {asked.area.shape} is empty, or not of the scene's size {size}")
    try:
        return scoring.image(asked.scene, frame.image)
    except ValueError as error:
        raise FrameError(frame.source, f"frame {frame.index}: {error}") from error


def _areas(asked: Sequence[ScoreRequest]) -> Tensor | None:
    """The areas (bool B H W) of frames with one scene; None if all pixels of all of them count."""
    if all(one.area is None for one in asked):
        return None
    whole = np.ones(asked[0].scene.settings.input.size, np.bool_)
    return torch.from_numpy(np.stack([whole if one.area is None else one.area for one in asked]))


def _frame_score(asked: ScoreRequest, measures: Measures, row: int) -> FrameScore:
    frame = asked.frame
    return FrameScore(
        source=frame.source,
        scene=asked.scene.name,
        index=frame.index,
        time=frame.time,
        wall=frame.wall,
        score=float(measures.score[row]),
        surprise=float(measures.surprise[row]),
        surprise_mean=float(measures.surprise_mean[row]),
        map=measures.map[row].numpy(),
    )


def _grouped(positions: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Positions of equal keys together, in order of their first."""
    groups: dict[Hashable, list[int]] = {}
    for position in positions:
        groups.setdefault(key(position), []).append(position)
    return list(groups.values())
