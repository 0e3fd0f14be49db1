"""The inference by functions that an engine makes, of scenes on a CPU or on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import RLock
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.model.aggregate import Maps, anomaly_maps
from msflow_stream.model.fused import FusedMaps
from msflow_stream.scenes.preparation import DevicePreparation, prepare
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.compiled_scenes import CompiledScenes
from msflow_stream.scoring.engines.base import Engine, FeatureGraph, Run
from msflow_stream.scoring.engines.recording import GPU, RecordedRun
from msflow_stream.scoring.inference import ImageBatch, Prepared, SceneBatch, measure_by_features, stacked
from msflow_stream.scoring.scene_functions import SceneFunctions, maps_of
from msflow_stream.scoring.transfers import fetched, scoring_on, sent_up
from msflow_stream.types import Pixels, UserError

log = logging.getLogger(__name__)

Normal = Callable[[Scene], Sequence[Tensor]]  # batches of prepared images (B 3 H W) of a scene's normal frames


class EngineInference:
    """Scores with functions that an engine made: one per pyramid and size, and those of each scene.

    May be used from several threads. What it made for a scene goes when the scene does. Where a GPU's memory is too
    small for a batch, it is scored in smaller ones from then on.

    Args:
        choose: gives the engine for a scene; all engines understand each other's features.
        normal: footage for an engine that has to know the ranges of numbers.
        capacity_bytes: memory of scenes that are ready to score at most; None: no bound. Beyond it, the functions of
            the scene used longest ago are let go, and made again when a frame needs them.

    Attributes:
        scenes: the functions of scenes.
        most: images at a time at most; None while there was room for all.
    """

    def __init__(
        self, choose: Callable[[Scene], Engine], normal: Normal | None = None, capacity_bytes: int | None = None
    ) -> None:
        self._choose, self._normal = choose, normal
        self._networks: WeakKeyDictionary[nn.Module, FeatureGraph] = WeakKeyDictionary()
        self._features: WeakKeyDictionary[nn.Module, dict[tuple[int, int], Run]] = WeakKeyDictionary()
        self.scenes = CompiledScenes(self._functions, capacity_bytes, lambda functions: functions.nbytes)
        self.most: int | None = None
        self._streams = 1
        self._preparations: dict[torch.device, DevicePreparation] = {}
        self._lock = RLock()  # of what is made; who has a function does not wait for another that is made

    def prepare(self, scene: Scene) -> None:
        """Compiles both networks of a scene, each unless it is there already."""
        self.scenes.get(scene)

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Compiles what is missing in a thread of its own."""
        self.scenes.prefetch(scenes)

    def image(self, scene: Scene, pixels: npt.NDArray[np.uint8] | Pixels) -> Prepared:
        """Returns the backbone's input; for a GPU, what is sent there."""
        if scene.device.type == "cpu":
            return prepare(pixels, scene.settings.input)
        return self._preparation(scene.device).small(pixels, scene.settings.input)

    def batch(self, scene: Scene, images: Sequence[Prepared]) -> Tensor:
        """Returns the backbone's input (B 3 H W), where the scene is."""
        small = [one for one in images if not isinstance(one, Tensor)]
        if not small:
            return stacked(images).to(scene.device, non_blocking=True)
        preparation, settings = self._preparation(scene.device), scene.settings.input
        return sent_up(lambda: preparation.batch(small, settings), scene.device)

    def features(self, scene: Scene, images: Tensor) -> list[Tensor]:
        """Returns the features (B C_l H_l W_l)."""
        return self._run_features(scene)([images.to(scene.device, non_blocking=True)])

    def measures(self, parts: Sequence[SceneBatch]) -> list[Measures]:
        """Returns the scores of each part: flows beside one another where that is faster, then equal maps at once."""
        with torch.inference_mode():
            return self._measures(parts, self._likelihoods(parts))

    def measure_images(self, parts: Sequence[ImageBatch]) -> list[Measures]:
        """Returns the scores of each part; that of a single scene by one function, where the engine wants it so."""
        count = sum(len(part.images) for part in parts)
        if self.most is not None and count > self.most:
            return _joined(parts, chain.from_iterable(map(self.measure_images, _portions(parts, self.most))))
        for again in (True, False):  # memory can be short for a moment, as while another thread records
            try:
                with scoring_on(parts[0].scene.device):
                    return self._measured(parts)
            except torch.OutOfMemoryError:
                if count == 1 and not again:
                    raise
            self._let_go_of_recordings()  # out here: the error holds what took the memory
        self.most = min(self.most or count, max(1, count // 2))  # another thread may have met less room
        log.warning("the GPU's memory is too small for %d frames at a time: %d from now on", count, self.most)
        return self.measure_images(parts)

    def maps(self, scene: Scene, features: list[Tensor], score: ScoreSettings) -> Maps:
        """Returns all three maps (B H W each)."""
        part = SceneBatch(scene, features, score)
        with torch.inference_mode():
            (likelihoods,) = self._likelihoods([part])
            # One channel whose square is the mean of the squares has the same log-likelihood -1/2 mean_c z^2.
            z = [(-2 * one).sqrt()[:, None] for one in likelihoods]
            return anomaly_maps(z, scene.settings.input.size, score.alignment)

    def _measured(self, parts: Sequence[ImageBatch]) -> list[Measures]:
        scene, _, score, areas = parts[0]
        functions = self.scenes.get(scene) if len(parts) == 1 else None
        if functions is None or not functions.is_joined:
            return measure_by_features(self, parts)
        with torch.inference_mode():
            inputs = [self.batch(scene, parts[0].images)]
            if areas is not None:
                inputs.append(_sent(areas, scene.device))
            return [Measures(*fetched(functions.joined(score, areas is not None)(inputs)))]

    def _measures(self, parts: Sequence[SceneBatch], found: Sequence[list[Tensor]]) -> list[Measures]:
        alike: dict[tuple[FusedMaps, bool], list[int]] = {}
        for number, (part, likelihoods) in enumerate(zip(parts, found, strict=True)):
            maps = maps_of(part.scene, part.score, likelihoods)
            alike.setdefault((maps, part.areas is not None), []).append(number)
        values: list[Tensor] = []
        for (maps, _), numbers in alike.items():
            together = [torch.cat(scale) for scale in zip(*(found[number] for number in numbers), strict=True)]
            areas = [area for number in numbers if (area := parts[number].areas) is not None]
            values += maps(together, _sent(torch.cat(areas), together[0].device) if areas else None)
        values = fetched(values)
        measures: dict[int, Measures] = {}
        for start, numbers in zip(range(0, len(values), len(Measures._fields)), alike.values(), strict=True):
            counts = [len(found[number][0]) for number in numbers]
            own = (torch.split(value, counts) for value in values[start : start + len(Measures._fields)])
            measures |= {number: Measures(*one) for number, *one in zip(numbers, *own, strict=True)}
        return [measures[number] for number in range(len(parts))]

    def _likelihoods(self, parts: Sequence[SceneBatch]) -> list[list[Tensor]]:
        """B H_l W_l per scale, of each part."""
        if self._streams > 1 and len(parts) > 1:
            with ThreadPoolExecutor(min(self._streams, len(parts)), "flow") as pool:
                return list(pool.map(self._likelihoods_of, parts))
        scenes, found = [part.scene for part in parts], []
        for number, part in enumerate(parts):
            self.scenes.prefetch(scenes[number : number + 2])
            found.append(self._likelihoods_of(part))
        return found

    def _likelihoods_of(self, part: SceneBatch) -> list[Tensor]:
        features = [one.to(part.scene.device, non_blocking=True) for one in part.features]
        return self.scenes.get(part.scene).likelihoods(features)

    def _let_go_of_recordings(self) -> None:
        log.warning("the GPU's memory is full: what was recorded is let go of")
        for functions in self.scenes.all():
            functions.release()
        for runs in list(self._features.values()):
            for run in list(runs.values()):
                if isinstance(run, RecordedRun):
                    run.release()
        with GPU:  # torch refuses it while something is recorded
            torch.cuda.empty_cache()

    def _preparation(self, device: torch.device) -> DevicePreparation:
        made = self._preparations.get(device)  # without the lock: every frame is here, while networks are made
        return made or self._preparations.setdefault(device, DevicePreparation(device))

    def _network(self, scene: Scene) -> FeatureGraph:
        """The network of a scene's pyramid, made once for all sizes."""
        with self._lock:
            if scene.pyramid not in self._networks:
                network = FeatureGraph(self._choose(scene).pyramid(scene.pyramid, scene.device))
                with GPU:
                    self._networks[scene.pyramid] = network.to(scene.device)
            return self._networks[scene.pyramid]

    def _run_features(self, scene: Scene) -> Run:
        runs, size = self._features.get(scene.pyramid, {}), scene.settings.input.size
        if size not in runs:
            with self._lock:
                runs = self._features.setdefault(scene.pyramid, {})
                if size not in runs:
                    graph, engine = self._network(scene), self._choose(scene)
                    if not engine.records(scene.device):
                        del self._networks[scene.pyramid]  # the engine uses it up
                    runs[size] = engine.compile(
                        graph, [_noise(scene)], lambda: [[x] for x in self._normal_images(scene)]
                    )
        return runs[size]

    def _functions(self, scene: Scene) -> SceneFunctions:
        # In the stream of scores: what is let go of later may still be in use there, and its memory is taken again
        # only after that.
        with scoring_on(scene.device):
            return self._made(scene)

    def _made(self, scene: Scene) -> SceneFunctions:
        features, engine = self._run_features(scene), self._choose(scene)
        self._streams = max(self._streams, engine.streams)
        return SceneFunctions(
            scene,
            engine,
            _noise(scene),
            features([_noise(scene)]),
            self._network(scene) if engine.records(scene.device) else None,
            lambda: [features([x]) for x in self._normal_images(scene)],
        )

    def _normal_images(self, scene: Scene) -> list[Tensor]:
        if self._normal is None:
            raise UserError(
                f"int8 needs normal footage of {scene.name} once: score something with --precision int8 "
                "--calibration FOOTAGE"
            )
        return [images.to(scene.device) for images in self._normal(scene)]


def _portions(parts: Sequence[ImageBatch], most: int) -> list[list[ImageBatch]]:
    """The parts' images in their order, so many at a time."""
    portions: list[list[ImageBatch]] = [[]]
    room = most
    for part in parts:
        at = 0
        while at < len(part.images):
            if room == 0:
                portions.append([])
                room = most
            end = min(at + room, len(part.images))
            areas = None if part.areas is None else part.areas[at:end]
            portions[-1].append(part._replace(images=part.images[at:end], areas=areas))
            room -= end - at
            at = end
    return portions


def _joined(parts: Sequence[ImageBatch], pieces: Iterable[Measures]) -> list[Measures]:
    """The measures of each part from those of its pieces, in their order."""
    found, given = [], iter(pieces)
    for part in parts:
        own: list[Measures] = []
        while sum(len(one.score) for one in own) < len(part.images):
            own.append(next(given))
        found.append(Measures(*(torch.cat(values) for values in zip(*own, strict=True))))
    return found


def _sent(areas: Tensor, device: torch.device) -> Tensor:
    """Areas on a device, without waiting for it."""
    if device.type != "cuda":
        return areas.to(device)
    return sent_up(lambda: areas.pin_memory().to(device, non_blocking=True), device)


def _noise(scene: Scene) -> Tensor:
    """Two images: one would make the batch look as if it were always one."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *scene.settings.input.size, generator=generator).to(scene.device)
