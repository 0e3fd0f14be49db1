"""Frames in, FrameScores out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from msflow_stream.batches import batched
from msflow_stream.config import ScoreSettings
from msflow_stream.machine import choose_device
from msflow_stream.scene import Scene
from msflow_stream.types import Frame, FrameScore


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
    """

    def __init__(self, scene: Scene, device: str = "auto", settings: ScoreSettings | None = None) -> None:
        self.scene = scene.to(choose_device(device))
        self.settings = settings or scene.settings.score

    def __call__(self, frames: Iterable[Frame]) -> Iterator[FrameScore]:
        """Scores of all frames, in their order."""
        for batch in batched(frames, self.settings.batch):
            yield from self.score(batch)

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Scores of one batch."""
        images = torch.stack([self.scene.prepare(frame.image) for frame in frames])  # B 3 H W
        measures = self.scene.measure(images, self.settings)
        return [
            FrameScore(
                source=frame.source,
                scene=self.scene.name,
                index=frame.index,
                time=frame.time,
                wall=frame.wall,
                score=float(measures.score[i]),
                surprise=float(measures.surprise[i]),
                surprise_mean=float(measures.surprise_mean[i]),
                map=measures.map[i].numpy(),
            )
            for i, frame in enumerate(frames)
        ]
