"""The variants of scoring prepared images that `bench scorer` compares: plain, unfused, and every engine."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, get_args

import torch
from torch import Tensor

from msflow_stream.config.engines import ENGINES, EngineName, EnginePrecision
from msflow_stream.machine import tf32
from msflow_stream.model.fused.maps import FusedMeasures
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.base import NotInstalledError
from msflow_stream.scoring.inference import ImageBatch, SceneBatch
from msflow_stream.scoring.scene_functions import maps_of
from msflow_stream.types import Image, UserError

from .machine import synchronise
from .plain import plain_model

log = logging.getLogger(__name__)

LONGEST = 200  # characters of an error
PLAIN, UNFUSED = "plain", "unfused"  # unfused: the scene's own modules, which the fit works with


class Measured(Protocol):
    """The result of a variant for a batch: scores (B) and the map (B H W)."""

    @property
    def score(self) -> Tensor:
        """The paper's score of each image."""

    @property
    def surprise(self) -> Tensor:
        """The surprise of each image."""

    @property
    def map(self) -> Tensor:
        """The map of each image."""


@dataclass(frozen=True, slots=True)
class Images:
    """A batch: as the scene prepares it (B 3 H W, in memory), and its frames (uint8 H W 3), of the input's size."""

    prepared: Tensor
    frames: Sequence[Image]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, part: slice) -> Images:
        return Images(self.prepared[part], self.frames[part])


@dataclass(frozen=True, slots=True)
class ScoringVariant:
    """One variant.

    Attributes:
        given: what `measure` takes, made of a batch.
        measure: scores it.
        error: why there are no figures, in words; None: there are.
    """

    engine: str
    precision: str
    given: Callable[[Images], Any]
    measure: Callable[[Any], Measured]
    error: str | None = None


class Variants:
    """The variants of scoring with a scene, where it is.

    Args:
        scene: what is scored with.
        normal: batches of prepared images (B 3 H W), in which int8 finds the ranges of numbers.
        transfers: whether images come from memory and results are put there; else both stay on the device, and only
            its work counts.
    """

    def __init__(self, scene: Scene, normal: Sequence[Tensor], transfers: bool = True) -> None:
        self._scene, self._normal, self._transfers = scene, normal, transfers

    def all(self, names: Sequence[str] = ()) -> Iterator[ScoringVariant]:
        """The plain variant first, in the kinds of float32 that the device has, then the unfused one and the engines.

        An engine that fails is there with its error. One that is not installed is left out, unless it is named.

        Args:
            names: of engines; all if none is named.
        """
        model, on_gpu = plain_model(self._scene), self._scene.device.type == "cuda"
        yield self._modules(PLAIN, "float32", model)
        if on_gpu:
            yield self._modules(PLAIN, "tf32", model)
        if self._transfers:
            yield ScoringVariant(UNFUSED, "float32", self._tensor, self._scene.measure)
        for name, info in ENGINES.items():
            if self._scene.device.type not in info.devices or (names and name not in names):
                continue
            for precision in info.precisions:
                if precision == "tf32" and not on_gpu:
                    continue
                try:
                    yield self._engine(name, precision)
                except NotInstalledError as error:
                    if name not in names:
                        log.info("left out: %s %s: %s", name, precision, error)
                        break
                    yield failed(name, precision, error)
                except Exception as error:  # whatever a runtime raises
                    yield failed(name, precision, error)

    def _modules(self, name: str, precision: str, model: Callable[[Tensor], FusedMeasures]) -> ScoringVariant:
        device = self._scene.device

        def measure(images: Tensor) -> Measured:
            with torch.inference_mode(), tf32() if precision == "tf32" else nullcontext():
                found = model(images.to(device, non_blocking=True))
                if self._transfers:
                    return FusedMeasures(*(value.cpu() for value in found))
                synchronise(device)
                return found

        return ScoringVariant(name, precision, self._tensor, measure)

    def _engine(self, name: EngineName, precision: EnginePrecision) -> ScoringVariant:
        scene, score, engine = self._scene, self._scene.settings.score, ENGINES[name].make(precision)
        inference = EngineInference(lambda _: engine, lambda _: self._normal)
        with redirect_stdout(sys.stderr):  # NNCF draws a progress bar
            inference.prepare(scene)
        if not self._transfers:
            return ScoringVariant(name, precision, self._tensor, partial(_left_there, inference, scene))
        if scene.device.type == "cpu":
            return ScoringVariant(
                name,
                precision,
                self._tensor,
                lambda images: inference.measures([SceneBatch(scene, inference.features(scene, images), score)])[0],
            )
        return ScoringVariant(
            name,
            precision,
            lambda images: [inference.image(scene, frame) for frame in images.frames],
            lambda images: inference.measure_images([ImageBatch(scene, images, score)])[0],
        )

    def _tensor(self, images: Images) -> Tensor:
        device = self._scene.device
        if not self._transfers:
            return images.prepared.to(device)
        return images.prepared if device.type == "cpu" else images.prepared.pin_memory()


def _left_there(inference: EngineInference, scene: Scene, images: Tensor) -> Measured:
    """Scores images that are on the device by an engine's functions; the results stay there."""
    score = scene.settings.score
    with torch.inference_mode():
        functions = inference.scenes.get(scene)
        if functions.is_joined:
            found = functions.joined(score, False)([images])
        else:
            likelihoods = functions.likelihoods(inference.features(scene, images))
            found = maps_of(scene, score, likelihoods)(likelihoods)
        synchronise(scene.device)
    return FusedMeasures(*found)


def failed(engine: str, precision: str, error: Exception) -> ScoringVariant:
    """Returns a variant that has no figures."""
    return ScoringVariant(engine, precision, _nothing, _nothing, in_words(error))


def in_words(error: Exception) -> str:
    """Returns an error in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2])[:LONGEST]
    return text if isinstance(error, UserError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def _nothing(_: Any) -> Any:
    raise AssertionError("this variant failed before")


def check_engines(names: Sequence[str], device: torch.device) -> None:
    """Refuses names that no engine has, and engines that do not score on the device.

    Raises:
        UserError: there is one.
    """
    for name in names:
        if name not in ENGINES:
            raise UserError(f"there is no engine {name!r}, only {', '.join(ENGINES)}")
        if device.type not in ENGINES[name].devices:
            there = " or ".join(ENGINES[name].devices)
            raise UserError(f"the engine {name} does not score here: use --device {there}, or another --engine")


def check_profiled(names: Sequence[str], device: torch.device) -> None:
    """Refuses what is no ENGINE:PRECISION, and a precision that the device lacks.

    Raises:
        UserError: there is one.
    """
    for name in names:
        engine, _, precision = name.partition(":")
        if engine not in (PLAIN, UNFUSED, *ENGINES) or precision not in get_args(EnginePrecision)[1:]:
            raise UserError(f"--profile {name!r} is none of a variant: give it as torch:bf16 or {PLAIN}:float32")
        if precision == "tf32" and device.type == "cpu":
            raise UserError(f"--profile {name}: tf32 is a precision of NVIDIA GPUs: use --device cuda")


def largest_difference(found: Sequence[Measured], expected: Sequence[Measured]) -> float:
    """The largest difference of an image's score (between 0 and 1) or surprise, to values beyond 1 relative to them."""
    differences = []
    for one, other in zip(found, expected, strict=True):
        for value, right in ((one.score, other.score.double()), (one.surprise, other.surprise.double())):
            differences.append(float(((value.cpu() - right.cpu()).abs() / right.cpu().abs().clamp(min=1)).max()))
    return max(differences)
