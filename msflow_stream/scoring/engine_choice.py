"""The choice of an engine: the one a person names, or the fastest that leaves the scores as they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from msflow_stream.config.engines import ENGINES, STREAMS, EngineName, EnginePrecision
from msflow_stream.config.settings import EngineSettings
from msflow_stream.machine import cache_folder, has_bf16
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference, Normal
from msflow_stream.scoring.engine_trial import BOUND, TrialFile, TrialResult, identity, processor, run_trial
from msflow_stream.scoring.engines.base import Engine
from msflow_stream.series import batched
from msflow_stream.types import Frame, UserError
from msflow_stream.video.sources import expand_sources, open_source

log = logging.getLogger(__name__)

TRIALS = "engines.json"  # in a cache folder
SINCE_AMPERE = ("tf32", "bf16")  # precisions that older GPUs lack
FRAMES, BATCH = 64, 4  # normal frames that show the ranges of numbers; so many at once
APART = 5  # of the frames that would be scored, every so manieth: neighbours look alike


class EngineChooser:
    """The engine that a scene's networks get: `EngineChooser(settings)(scene)`.

    What is left to `auto` is chosen for the scene's kind of networks and the device where it is: the fastest in a
    trial, among those within BOUND of the plain scores. On a CPU engines are tried, on a GPU the precisions of PyTorch
    or of the engine that is named.

    Args:
        settings: those of the engine.
        cache: folder that remembers trials, and keeps what engines take long to make; no folder does if None.
        streams: frames that are scored at a time by engines that can; 1 for frames that come one by one.
    """

    def __init__(self, settings: EngineSettings, cache: Path | None = None, streams: int = STREAMS) -> None:
        self.settings, self._streams = settings, streams
        self._cache, self._file = cache, None if cache is None else TrialFile(cache / TRIALS)
        self._results: dict[str, TrialResult] = {}
        self._made: dict[tuple[EngineName, EnginePrecision, int], Engine] = {}

    def __call__(self, scene: Scene) -> Engine:
        """Returns the engine for a scene.

        Raises:
            UserError: an engine that is not installed, or does not have that precision or device.
        """
        name, precision = self.settings.name, self.settings.precision
        if scene.device.type == "cuda":
            return self._on_gpu(scene)
        if name != "auto":
            if "cpu" not in ENGINES[name].devices:
                raise UserError(f"the engine {name} needs an NVIDIA GPU: use --device cuda, or another --engine")
            return self._of(name, "float32" if precision == "auto" else precision)
        if precision in ("fp16", "int8"):
            return self._of("openvino", precision)
        choices = [(name, one) for name, info in ENGINES.items() for one in info.tried]
        engines = self._installed([choice for choice in choices if self._is_worth_trying(*choice)])
        return self._fastest(scene, engines) if engines else self._of("torch", precision)

    def _on_gpu(self, scene: Scene) -> Engine:
        name: EngineName = "torch" if self.settings.name == "auto" else self.settings.name
        info = ENGINES[name]
        if "cuda" not in info.devices:
            raise UserError(f"the engine {name} scores on the CPU: use --device cpu, or --engine torch")
        if self.settings.precision != "auto":
            return self._of(name, self.settings.precision, streams=1)
        precisions = [one for one in info.tried_on_gpu if one not in SINCE_AMPERE or has_bf16(scene.device)]
        return self._fastest(scene, [self._of(name, one, streams=1) for one in precisions])

    def _is_worth_trying(self, name: EngineName, precision: EnginePrecision) -> bool:
        """Each try costs seconds, so those go without it that came second wherever they were measured.

        Those are engines beside the one that their `unless` names, and bf16 on a CPU without units for it.
        """
        wanted = self.settings.precision
        if wanted not in ("auto", precision):
            return False
        better = ENGINES[name].unless
        if better is not None and self._installed([(better, "float32")]):
            return False
        return wanted == precision or precision == "float32" or "amx_bf16" in processor()

    def _of(self, name: EngineName, precision: EnginePrecision, streams: int | None = None) -> Engine:
        key = (name, precision, streams or self._streams)
        if key not in self._made:
            self._made[key] = ENGINES[name].make(precision, self._cache, key[2])
        return self._made[key]

    def _fastest(self, scene: Scene, engines: Sequence[Engine]) -> Engine:
        if len(engines) == 1:
            return engines[0]
        facts = identity(scene, engines)
        key = json.dumps(facts)
        result = self._results.get(key) or (self._file.read(facts) if self._file else None)
        if result is None:
            result = run_trial(engines, scene)
            log.info("%s", result)
            if self._file:
                self._file.write(facts, result)
        self._results[key] = result
        # A precision that a person asks for is theirs to choose, with the error that it has.
        name = result.fastest(BOUND if self.settings.precision == "auto" else float("inf"))
        return next(engine for engine in engines if str(engine) == name)

    def _installed(self, choices: Sequence[tuple[EngineName, EnginePrecision]]) -> list[Engine]:
        found = []
        for choice in choices:
            try:
                found.append(self._of(*choice))
            except UserError as error:
                log.debug("not tried: %s", error)
        return found


def make_inference(
    settings: EngineSettings, normal: Normal | None = None, capacity_bytes: int | None = None, streams: int = STREAMS
) -> EngineInference:
    """Returns the inference that the settings ask for.

    Args:
        settings: those of the engine.
        normal: footage for a precision that has to know the ranges of numbers.
        capacity_bytes: memory of scenes that are ready to score at most; None: no bound.
        streams: frames scored at a time by engines that can; 1 for frames that come one by one.
    """
    return EngineInference(EngineChooser(settings, cache_folder(), streams), normal, capacity_bytes)


def images_of(sources: Sequence[str]) -> Normal:
    """Returns what prepares frames of the sources, as many from each.

    Raises:
        UserError: there is no such source.
    """
    specs = expand_sources(sources)

    def images(scene: Scene) -> list[Tensor]:
        found: list[Tensor] = []
        for spec in specs:
            with open_source(spec, APART * scene.settings.score.every, motion_every=None) as frames:
                found += prepared(scene, islice(frames, max(BATCH, FRAMES // len(specs))))
        return found

    return images


def prepared(scene: Scene, frames: Iterable[Frame]) -> list[Tensor]:
    """Returns batches of prepared images (B 3 H W)."""
    return [torch.stack([scene.prepare(frame.pixels) for frame in batch]) for batch in batched(frames, BATCH)]
