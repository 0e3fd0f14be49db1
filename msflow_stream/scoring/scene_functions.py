"""The functions of one scene, as an engine made them: of its flow, and of all that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock

import torch
from torch import Tensor

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.model.aggregate import Aggregation, Alignment
from msflow_stream.model.fused import FusedMaps
from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engines.base import Engine, FeatureGraph, LikelihoodGraph, MeasureGraph, Run, Samples, Size
from msflow_stream.scoring.engines.recording import GPU, RecordedRun

MAPS_KEPT = 64  # settings of scores and sizes that were used last


class SceneFunctions:
    """The functions of a scene for one size of its input. May be used from several threads.

    Args:
        scene: it is not kept, so that what was made for it goes when it does.
        engine: makes the functions.
        images: two prepared ones (B 3 H W).
        features: theirs (B C_l H_l W_l).
        network: that of the features, for functions of all that the scene takes; None where the engine has none.
        samples: features of normal frames, for an engine that has to know the ranges of numbers.

    Attributes:
        likelihoods: features (B C_l H_l W_l) to log-likelihoods (B H_l W_l).
    """

    def __init__(
        self,
        scene: Scene,
        engine: Engine,
        images: Tensor,
        features: Sequence[Tensor],
        network: FeatureGraph | None,
        samples: Samples,
    ) -> None:
        self._engine, self._network, self._images = engine, network, images
        self._sizes = [(one.shape[2], one.shape[3]) for one in features]
        self._flow = LikelihoodGraph(engine.flow(scene.flow, self._sizes, scene.device))
        with GPU:
            self._flow.to(scene.device)
        self._weights = weights_bytes(scene.flow)
        self.likelihoods = engine.compile(self._flow, features, samples)
        self._joined: dict[tuple[object, ...], Run] = {}
        self._lock = Lock()
        if network is None:
            del self._flow  # the engine used it up
        else:  # the size that comes most; and what is compiled once for all sizes is compiled now
            self.likelihoods([one[:1] for one in features])

    @property
    def is_joined(self) -> bool:
        """Whether there are functions of all that the scene takes."""
        return self._network is not None

    @property
    def nbytes(self) -> int:
        """Memory that the functions take: the weights of the flow, and what is recorded."""
        runs = [self.likelihoods, *list(self._joined.values())]
        return self._weights + sum(run.nbytes for run in runs if isinstance(run, RecordedRun))

    def joined(self, score: ScoreSettings, with_areas: bool) -> Run:
        """Returns the function from images (B 3 H W), and areas (bool B H W) if so, to measures."""
        assert self._network is not None
        key = (score.top_k, score.aggregation, score.alignment, with_areas)
        with self._lock:
            if key not in self._joined:
                size = self._images.shape[2:]
                settings = score.top_k, score.aggregation, score.alignment
                maps = _maps(tuple(self._sizes), (size[0], size[1]), *settings, self._images.device)
                example = [self._images]
                if with_areas:
                    example.append(torch.ones(len(self._images), *size, dtype=torch.bool, device=self._images.device))
                graph = MeasureGraph(self._network, self._flow, maps)
                self._joined[key] = self._engine.compile(graph, example, _no_samples)
            return self._joined[key]

    def release(self) -> None:
        """Lets go of what is recorded."""
        for run in (self.likelihoods, *list(self._joined.values())):
            if isinstance(run, RecordedRun):
                run.release()


def maps_of(scene: Scene, score: ScoreSettings, likelihoods: Sequence[Tensor]) -> FusedMaps:
    """Returns the network from log-likelihoods (B H_l W_l) to measures, where they are."""
    sizes = tuple((one.shape[1], one.shape[2]) for one in likelihoods)
    settings = score.top_k, score.aggregation, score.alignment
    return _maps(sizes, scene.settings.input.size, *settings, likelihoods[0].device)


@lru_cache(MAPS_KEPT)
def _maps(
    sizes: tuple[Size, ...],
    size: Size,
    top_k: float,
    aggregation: Aggregation,
    alignment: Alignment,
    device: torch.device,
) -> FusedMaps:
    return FusedMaps(sizes, size, top_k, aggregation, alignment).to(device)


def _no_samples() -> Sequence[Sequence[Tensor]]:
    return []
