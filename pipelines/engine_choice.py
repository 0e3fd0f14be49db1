"""Which engine scores, as the command line asks for it, and where what it learnt of this machine is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor

from msflow_stream.config.settings import EngineSettings
from msflow_stream.machine import cache_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import EngineChooser
from msflow_stream.scoring.engines.openvino_engine import STREAMS
from msflow_stream.scoring.inference import EngineScoring, Normal
from msflow_stream.series import batched
from msflow_stream.types import Frame
from msflow_stream.video.sources import expand_sources, open_source

FRAMES, BATCH = 64, 4  # normal frames that show the ranges of numbers; so many at once


APART = 5  # of the frames that would be scored, every so manieth: neighbours look alike


def make_scoring(
    settings: EngineSettings, normal: Normal | None = None, room: int | None = None, streams: int = STREAMS
) -> EngineScoring:
    """What scores as the settings say.

    Args:
        settings: of the engine.
        normal: footage for a precision that has to know the ranges of numbers.
        room: bytes of weights of scenes that are ready to score; None: no end to it.
        streams: frames scored at a time by engines that can; 1 for frames that come one by one.
    """
    return EngineScoring(EngineChooser(settings, cache_folder(), streams), normal, room)


def images_of(sources: Sequence[str]) -> Normal:
    """Prepared frames of the sources, as many from each.

    Raises:
        UserError: there is no such source.
    """
    specs = expand_sources(sources)

    def images(scene: Scene) -> list[Tensor]:
        found: list[Tensor] = []
        for spec in specs:
            with open_source(spec, APART * scene.settings.score.every) as frames:
                found += prepared(scene, islice(frames, max(BATCH, FRAMES // len(specs))))
        return found

    return images


def prepared(scene: Scene, frames: Iterable[Frame]) -> list[Tensor]:
    """Batches of images (B 3 H W) as the scene takes them."""
    return [torch.stack([scene.prepare(frame.image) for frame in batch]) for batch in batched(frames, BATCH)]
