"""The trial of engines: how fast each is with a scene's networks on this machine, and how far it moves the scores."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from msflow_stream.config.engines import ENGINES
from msflow_stream.cores import usable_cores
from msflow_stream.files import replaced
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import Engine
from msflow_stream.scoring.inference import ImageBatch, Inference, PlainInference
from msflow_stream.types import APPEARANCE_KINDS, UserError

log = logging.getLogger(__name__)

BOUND = 0.01  # of the spread of scores: what an engine that is chosen by itself may move them by
BATCH, ROUNDS, SECONDS = 4, 7, 3.0  # images at once; times each engine is timed, unless time is up after one
PACKAGES = tuple(dict.fromkeys(one.package for one in ENGINES.values() if one.tried))


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """The timing of one engine: milliseconds per frame, and its largest error as a fraction of the scores' spread."""

    milliseconds: float
    error: float


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a trial, by engine and precision; the first is the float32 that is always there."""

    found: dict[str, EngineTiming]

    def fastest(self, bound: float) -> str:
        """Returns the fastest of those within the bound; the first if none is."""
        kept = {name: one for name, one in self.found.items() if one.error <= bound}
        return min(kept, key=lambda name: kept[name].milliseconds) if kept else next(iter(self.found))

    def __str__(self) -> str:
        rows = (
            f"{name} {one.milliseconds:.1f} ms per frame{'' if one.error <= BOUND else ' (scores differ)'}"
            for name, one in self.found.items()
        )
        return f"engines tried: {', '.join(rows)}; chosen: {self.fastest(BOUND)}"


def identity(scene: Scene, engines: Sequence[Engine]) -> dict[str, Any]:
    """Returns everything that a trial's result depends on: the machine, the packages, the networks' shapes."""
    settings = scene.settings
    return {
        "device": _device(scene.device),
        "cpu": processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "streams": max(engine.streams for engine in engines),
        "versions": {name: _version(name) for name in PACKAGES},
        "engines": [str(engine) for engine in engines],
        "model": settings.model.model_dump(mode="json", exclude={"weights", "weights_seed"}),
        "size": list(settings.input.size),
    }


def run_trial(engines: Sequence[Engine], scene: Scene) -> TrialResult:
    """Returns the result of a trial: engines are timed in turns, as a machine that is busy is so for all of them.

    An engine that cannot compile the networks, or whose precision the machine lacks, does not take part.
    """
    images = trial_images(scene)
    expected = _measures(PlainInference(), scene, images)
    inferences: dict[str, EngineInference] = {}
    errors: dict[str, float] = {}
    for engine in engines:
        inference = EngineInference(lambda _, engine=engine: engine)  # type: ignore[misc]
        try:
            errors[str(engine)] = error_of(_measures(inference, scene, images), expected, scene)
        except UserError as error:
            log.debug("%s does not take part: %s", engine, error)
            continue
        except RuntimeError as error:
            level = logging.DEBUG if scene.device.type == "cpu" else logging.WARNING  # a GPU should have them all
            log.log(level, "%s does not take part: %s", engine, error)
            continue
        inferences[str(engine)] = inference
    times: dict[str, list[float]] = {name: [] for name in inferences}
    end = monotonic() + SECONDS
    for _ in range(ROUNDS):
        for name, ready in inferences.items():
            start = perf_counter()
            _measures(ready, scene, images)
            times[name].append((perf_counter() - start) * 1000 / BATCH)
        if monotonic() > end:
            break
    return TrialResult({name: EngineTiming(median(times[name]), errors[name]) for name in inferences})


def trial_images(scene: Scene) -> Tensor:
    """Returns images for a trial (B 3 H W), from smooth to rough."""
    generator = torch.Generator().manual_seed(0)
    height, width = scene.settings.input.size
    rough = [torch.randn(1, 3, height >> n, width >> n, generator=generator) for n in (0, 2, 3, 4)]
    return torch.cat([F.interpolate(one, (height, width), mode="bilinear") for one in rough])


def error_of(found: Measures, expected: Measures, scene: Scene) -> float:
    """Returns the largest difference of a score, as a fraction of that score's spread.

    The spread is that of the scene's normal frames, from their median to their 99 % quantile; that of the expected
    scores themselves if the scene is not calibrated.
    """
    errors = []
    for kind, mine, plain in zip(APPEARANCE_KINDS, found[:-1], expected[:-1], strict=True):
        if scene.calibration is not None:
            quantiles = scene.calibration.quantiles[kind]
            spread = quantiles["0.99"] - quantiles["0.5"]
        else:
            spread = float(plain.max() - plain.min())
        difference = float((mine - plain).abs().max())
        errors.append(difference / spread if spread > 0 else float(difference > 0))
    return max(errors)


def _measures(inference: Inference, scene: Scene, images: Tensor) -> Measures:
    return inference.measure_images([ImageBatch(scene, list(images), scene.settings.score)])[0]


def _device(device: torch.device) -> str:
    """The CPU, or a GPU's name and the libraries that compute there."""
    if device.type != "cuda":
        return device.type
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    libraries = f"CUDA {torch.version.cuda}, cuDNN {cudnn}"
    return f"{torch.cuda.get_device_name(device)}, {libraries}"


def processor() -> str:
    """Returns the model of the CPU and its features."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags", "Features"))]
    return " ".join(dict.fromkeys(names)) or platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class TrialFile:
    """The file of trials. One that cannot be read is as an empty one, one that cannot be written stays as it is.

    Args:
        path: a JSON file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, identity: dict[str, Any]) -> TrialResult | None:
        """Returns the result of a trial that depends on the same things."""
        entry = self._entries().get(_key(identity))
        return None if entry is None else _result(entry)

    def write(self, identity: dict[str, Any], result: TrialResult) -> None:
        """Adds a result."""
        found = {name: asdict(one) for name, one in result.found.items()}
        entries = self._entries() | {_key(identity): identity | {"found": found}}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(self.path) as partial:
                partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            log.debug("the trial is not remembered: %s", error)

    def all(self) -> list[tuple[dict[str, Any], TrialResult]]:
        """Returns all trials: what each depends on, and its result."""
        entries = self._entries().values()
        return [(entry, result) for entry in entries if (result := _result(entry)) is not None]

    def _entries(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}


def _result(entry: Any) -> TrialResult | None:
    try:
        return TrialResult(
            {str(k): EngineTiming(float(v["milliseconds"]), float(v["error"])) for k, v in entry["found"].items()}
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _key(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
