"""Features of normal frames, in a cache, with the part that is held out of a fit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch

from msflow_stream.config.settings import FitSettings
from msflow_stream.scenes.features import FeatureCache
from msflow_stream.scenes.scene import Scene
from msflow_stream.series import batched
from msflow_stream.types import Frame

BATCH = 8  # frames that go through the backbone together


@dataclass(slots=True)
class Footage:
    """Features of normal frames, and which of them are kept out of the fit."""

    cache: FeatureCache
    origin: list[tuple[str, int, float]] = field(default_factory=list)  # source, index, time of every frame
    held_out: list[int] = field(default_factory=list)  # positions in the cache, ascending

    @property
    def fitted(self) -> list[int]:
        """Positions in the cache that the fit may use."""
        return sorted(set(range(len(self.origin))) - set(self.held_out))

    @property
    def sources(self) -> dict[str, int]:
        """Frames per source."""
        return {name: len(list(frames)) for name, frames in groupby(self.origin, key=lambda o: o[0])}

    @property
    def digest(self) -> str:
        """Of which frames there are: the same for the same sources, sampled alike."""
        return hashlib.sha256(repr(self.origin).encode()).hexdigest()


def extract(scene: Scene, sources: Iterable[Iterable[Frame]], cache: FeatureCache, holdout: float) -> Iterator[Footage]:
    """Fills the cache from the frames of every source, yielding the growing footage after every batch.

    The last `holdout` of each source's frames is held out: the part a model of the rest has not seen.
    """
    footage = Footage(cache)
    for source in sources:
        start = len(footage.origin)
        for frames in batched(source, BATCH):
            images = torch.stack([scene.prepare(frame.image) for frame in frames])
            cache.append(scene.pyramid(images.to(scene.device)))
            footage.origin += [(frame.source, frame.index, frame.time) for frame in frames]
            yield footage
        kept = len(footage.origin) - int(holdout * (len(footage.origin) - start))
        footage.held_out += range(kept, len(footage.origin))


def feature_cache(settings: FitSettings, folder: Path | None = None) -> FeatureCache:
    """A cache as the settings ask for it."""
    limit = None if settings.cache_memory is None else int(settings.cache_memory * 2**30)
    return FeatureCache(getattr(torch, settings.cache_dtype), limit, folder)
