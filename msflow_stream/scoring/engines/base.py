"""The contract of an engine, which makes a fast function of a network, and the networks of a scene as graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from msflow_stream.config.engines import ENGINES, STREAMS, EngineInfo, EngineName, EnginePrecision
from msflow_stream.model.fused import FusedFlow, FusedMaps, FusedPyramid
from msflow_stream.model.msflow import MSFlow
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.types import UserError

Run = Callable[[Sequence[Tensor]], list[Tensor]]
Samples = Callable[[], Sequence[Sequence[Tensor]]]
Size = tuple[int, int]


class Engine(ABC):
    """Compiles networks for one kind of hardware and one precision.

    The functions it makes take batches of any size and give float32; in float32, what they say of an image does not
    depend on the images beside it.

    Args:
        precision: that of the arithmetic inside.
        cache: folder for what takes a while to make, for engines that keep it.
        streams: frames at a time, for engines that can; 1 for frames that come one by one.

    Raises:
        UserError: a precision that the engine does not have, or a package that is not installed.
    """

    name: ClassVar[EngineName]
    streams: int = 1  # how many of its functions are worth calling at a time, from threads of their own

    def __init__(
        self, precision: EnginePrecision = "float32", cache: Path | None = None, streams: int = STREAMS
    ) -> None:
        known = self.info.precisions
        if precision not in known:
            raise UserError(f"the engine {self.name} has no {precision}: use --precision {' or '.join(known)}")
        self.precision = precision

    @property
    def info(self) -> EngineInfo:
        """The facts about the engine, as the registry has them."""
        return ENGINES[self.name]

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"

    def records(self, device: torch.device) -> bool:
        """Returns whether functions are recorded there: then all that a scene takes is worth a function of its own."""
        return False

    def pyramid(self, pyramid: Pyramid, device: torch.device) -> nn.Module:
        """Returns the network from images (B 3 H W) to the features of every scale, to be moved to the device.

        Args:
            pyramid: stays as it is.
            device: where it will run.
        """
        return FusedPyramid(pyramid)

    def flow(self, flow: MSFlow, sizes: Sequence[Size], device: torch.device) -> nn.Module:
        """Returns a network with `log_likelihoods`, as FusedFlow has it, to be moved to the device.

        Args:
            flow: stays as it is.
            sizes: (H_l, W_l) of every scale.
            device: where it will run.
        """
        return FusedFlow(flow.eval(), sizes)

    @abstractmethod
    def compile(self, graph: nn.Module, example: Sequence[Tensor], samples: Samples) -> Run:
        """Returns a function that computes what `graph` does: batches of tensors to a list of them.

        Args:
            graph: takes tensors and returns a tuple of tensors, all B x ..; it is used up.
            example: its inputs for two images or more. All that will come have these sizes, but for B.
            samples: batches of inputs of normal frames, for an engine that has to know the ranges of numbers.

        Raises:
            UserError: a package that the engine needs is not installed.
        """


class NotInstalledError(UserError):
    """An engine's package that is not installed."""


def missing(package: str, extra: str | None) -> NotInstalledError:
    """Returns the error of an engine whose package is not installed."""
    return NotInstalledError(
        f"{package} is not installed: pip install 'msflow-stream[{extra}]', or use another --engine"
    )


def check_precision(precision: EnginePrecision, device: torch.device) -> None:
    """Refuses what a device does not compute in.

    Raises:
        UserError: TF32, but no GPU.
    """
    if precision == "tf32" and device.type == "cpu":
        raise UserError("tf32 is a precision of NVIDIA GPUs: use --device cuda, or --precision float32")


class FeatureGraph(nn.Module):
    """Normalised images (B 3 H W) to the features of every scale: what scenes with one pyramid share.

    Args:
        pyramid: an engine's network.
    """

    def __init__(self, pyramid: nn.Module) -> None:
        super().__init__()
        self.pyramid = pyramid

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns the features of every scale (B C_l H_l W_l)."""
        return tuple(self.pyramid(images))


class LikelihoodGraph(nn.Module):
    """Features (B C_l H_l W_l) to the log-likelihoods of every scale (B H_l W_l): what a scene has of its own.

    Args:
        flow: an engine's network.
    """

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow: Any = flow

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Returns the log-likelihoods of every scale (B H_l W_l)."""
        return tuple(self.flow.log_likelihoods(features))


class MeasureGraph(nn.Module):
    """Normalised images (B 3 H W), and areas (bool B H W) where there are any, to measures: all that a scene takes.

    Args:
        features, likelihoods: the graphs before.
        maps: for the settings of the score.
    """

    def __init__(self, features: FeatureGraph, likelihoods: LikelihoodGraph, maps: FusedMaps) -> None:
        super().__init__()
        self.features, self.likelihoods, self.maps = features, likelihoods, maps

    def forward(self, images: Tensor, areas: Tensor | None = None) -> tuple[Tensor, ...]:
        """Returns the three scores (B each) and the map (float16 B H W)."""
        return tuple(self.maps(self.likelihoods(*self.features(images)), areas))
