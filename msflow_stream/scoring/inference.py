"""The inference: prepared images to scores, the plain way or by an engine's functions for the networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import RLock
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.model.aggregate import Maps, anomaly_maps
from msflow_stream.model.fused import FusedMaps
from msflow_stream.scenes.preparation import DevicePreparation, check_pixels, prepare
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.compiled_scenes import CompiledScenes
from msflow_stream.scoring.engines.base import Engine, FeatureGraph, LikelihoodGraph, Run
from msflow_stream.types import Pixels, UserError

Normal = Callable[[Scene], Sequence[Tensor]]  # batches of prepared images (B 3 H W) of a scene's normal frames
MAPS_KEPT = 64  # settings of scores and sizes, the newest


class SceneBatch(NamedTuple):
    """Frames of one scene in a batch: their features (B C_l H_l W_l), and `areas` as in `Scene.measure_maps`."""

    scene: Scene
    features: list[Tensor]
    score: ScoreSettings
    areas: Tensor | None = None


class Inference(Protocol):
    """The way from images to scores. Features are shared by scenes that share a pyramid, the rest is a scene's own."""

    def prepare(self, scene: Scene) -> None:
        """Prepares for a scene: what takes long happens here, not with its first frame."""

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Starts to prepare for scenes that will be scored with next, in the background; returns at once."""

    def image(self, scene: Scene, pixels: npt.NDArray[np.uint8] | Pixels) -> Tensor:
        """Returns the backbone's input (3 H W) for pixels of any size; may be called from several threads.

        Raises:
            ValueError: as `msflow_stream.scenes.preparation.prepare`.
        """

    def features(self, scene: Scene, images: Tensor) -> list[Tensor]:
        """Returns the features (B C_l H_l W_l) of prepared images (B 3 H W)."""

    def measures(self, parts: Sequence[SceneBatch]) -> list[Measures]:
        """Returns the scores of each part, on the CPU."""

    def maps(self, scene: Scene, features: list[Tensor], score: ScoreSettings) -> Maps:
        """Returns all three maps (B H W each) of features."""


class PlainInference:
    """The reference that all others are compared with: the scene's own modules in float32."""

    def prepare(self, scene: Scene) -> None:
        """Does nothing: nothing takes long."""

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Does nothing: nothing is missing."""

    def image(self, scene: Scene, pixels: npt.NDArray[np.uint8] | Pixels) -> Tensor:
        """Returns the backbone's input, prepared on the CPU."""
        return scene.prepare(pixels)

    def features(self, scene: Scene, images: Tensor) -> list[Tensor]:
        """Returns the features (B C_l H_l W_l)."""
        with torch.inference_mode():
            features: list[Tensor] = scene.pyramid(images.to(scene.device))
        return features

    def measures(self, parts: Sequence[SceneBatch]) -> list[Measures]:
        """Returns the scores of each part, one after the other."""
        with torch.inference_mode():
            return [
                part.scene.measure_maps(part.scene.maps(part.features, part.score), part.score, part.areas)
                for part in parts
            ]

    def maps(self, scene: Scene, features: list[Tensor], score: ScoreSettings) -> Maps:
        """Returns all three maps (B H W each)."""
        return scene.maps(features, score)


class EngineInference:
    """Scores with functions that an engine made: one per pyramid and size, and one per scene.

    May be used from several threads. What it made for a scene goes when the scene does.

    Args:
        choose: gives the engine for a scene; all engines understand each other's features.
        normal: footage for an engine that has to know the ranges of numbers.
        capacity_bytes: weights of scenes that are ready to score at most; None: no bound. Beyond it, the functions of
            the scene used longest ago are let go, and made again when a frame needs them.

    Attributes:
        likelihoods: the functions of scenes' flows.
    """

    def __init__(
        self, choose: Callable[[Scene], Engine], normal: Normal | None = None, capacity_bytes: int | None = None
    ) -> None:
        self._choose, self._normal = choose, normal
        self._features: WeakKeyDictionary[nn.Module, dict[tuple[int, int], Run]] = WeakKeyDictionary()
        self.likelihoods = CompiledScenes(self._compiled, capacity_bytes)
        self._streams = 1
        self._preparation = DevicePreparation()
        self._maps: dict[tuple[object, ...], FusedMaps] = {}
        self._lock = RLock()  # of what is made; who has a function does not wait for another that is made

    def prepare(self, scene: Scene) -> None:
        """Compiles both networks of a scene, each unless it is there already."""
        self.likelihoods.get(scene)

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Compiles what is missing in a thread of its own."""
        self.likelihoods.prefetch(scenes)

    def image(self, scene: Scene, pixels: npt.NDArray[np.uint8] | Pixels) -> Tensor:
        """Returns the backbone's input; for a GPU it is resized there, but where the decoder's frame is small soon."""
        settings = scene.settings.input
        if scene.device.type == "cpu" or settings.resize == "area":
            return prepare(pixels, settings, scene.device)
        check_pixels(pixels)
        image = pixels if isinstance(pixels, np.ndarray) else pixels.image()
        return self._preparation(image, settings, scene.device)

    def features(self, scene: Scene, images: Tensor) -> list[Tensor]:
        """Returns the features (B C_l H_l W_l)."""
        return self._run_features(scene)([images.to(scene.device, non_blocking=True)])

    def measures(self, parts: Sequence[SceneBatch]) -> list[Measures]:
        """Returns the scores of each part: flows beside one another where that is faster, then equal maps at once."""
        found = self._likelihoods(parts)
        measures: dict[int, Measures] = {}
        alike: dict[FusedMaps, list[int]] = {}
        for number, (part, likelihoods) in enumerate(zip(parts, found, strict=True)):
            if part.areas is None:
                alike.setdefault(self._maps_of(part, likelihoods), []).append(number)
            else:
                maps = _maps(part, likelihoods)
                measures[number] = part.scene.measure_maps(maps, part.score, part.areas)
        for module, numbers in alike.items():
            together = [torch.cat(scale) for scale in zip(*(found[number] for number in numbers), strict=True)]
            with torch.inference_mode():
                values = [value.cpu() for value in module(together)]
            counts = [len(found[number][0]) for number in numbers]
            split = zip(*(torch.split(value, counts) for value in values), strict=True)
            measures |= {number: Measures(*one) for number, one in zip(numbers, split, strict=True)}
        return [measures[number] for number in range(len(parts))]

    def maps(self, scene: Scene, features: list[Tensor], score: ScoreSettings) -> Maps:
        """Returns all three maps (B H W each)."""
        return _maps(SceneBatch(scene, features, score), self.likelihoods.get(scene)(features))

    def _likelihoods(self, parts: Sequence[SceneBatch]) -> list[list[Tensor]]:
        """B H_l W_l per scale, of each part."""
        if self._streams > 1 and len(parts) > 1:
            with ThreadPoolExecutor(min(self._streams, len(parts)), "flow") as pool:
                return list(pool.map(lambda part: self.likelihoods.get(part.scene)(part.features), parts))
        scenes, found = [part.scene for part in parts], []
        for number, part in enumerate(parts):
            self.likelihoods.prefetch(scenes[number : number + 2])
            found.append(self.likelihoods.get(part.scene)(part.features))
        return found

    def _run_features(self, scene: Scene) -> Run:
        runs, size = self._features.get(scene.pyramid, {}), scene.settings.input.size
        if size not in runs:
            with self._lock:
                runs = self._features.setdefault(scene.pyramid, {})
                if size not in runs:
                    engine = self._choose(scene)
                    runs[size] = engine.compile(
                        FeatureGraph(scene.pyramid), [_noise(scene)], lambda: [[x] for x in self._normal_images(scene)]
                    )
        return runs[size]

    def _compiled(self, scene: Scene) -> Run:
        features = self._run_features(scene)
        example = features([_noise(scene)])
        graph = LikelihoodGraph(scene.flow, [(one.shape[2], one.shape[3]) for one in example]).to(scene.device)
        engine = self._choose(scene)
        self._streams = max(self._streams, engine.streams)
        return engine.compile(graph, example, lambda: [features([x]) for x in self._normal_images(scene)])

    def _normal_images(self, scene: Scene) -> list[Tensor]:
        if self._normal is None:
            raise UserError(
                f"int8 needs normal footage of {scene.name} once: score something with --precision int8 "
                "--calibration FOOTAGE"
            )
        return [images.to(scene.device) for images in self._normal(scene)]

    def _maps_of(self, part: SceneBatch, likelihoods: list[Tensor]) -> FusedMaps:
        size, score = part.scene.settings.input.size, part.score
        sizes = [(one.shape[1], one.shape[2]) for one in likelihoods]
        key = (tuple(sizes), size, score.top_k, score.aggregation, score.alignment, likelihoods[0].device)
        made = self._maps.get(key)
        if made is None:
            made = FusedMaps(sizes, size, score.top_k, score.aggregation, score.alignment).to(likelihoods[0].device)
            with self._lock:
                while len(self._maps) >= MAPS_KEPT:
                    del self._maps[next(iter(self._maps))]
                self._maps[key] = made
        return made


def _maps(part: SceneBatch, likelihoods: list[Tensor]) -> Maps:
    """B H W each."""
    with torch.inference_mode():
        # One channel whose square is the mean of the squares has the same log-likelihood -1/2 mean_c z^2.
        z = [(-2 * one).sqrt()[:, None] for one in likelihoods]
        return anomaly_maps(z, part.scene.settings.input.size, part.score.alignment)


def _noise(scene: Scene) -> Tensor:
    """Two images: one would make the batch look as if it were always one."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *scene.settings.input.size, generator=generator).to(scene.device)
