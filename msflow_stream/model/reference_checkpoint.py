"""Checkpoints (.pt) of the original release, read without executing anything in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msflow_stream.model.msflow import MSFlow
from msflow_stream.types import UserError

COUPLING_NAMES = {  # ours: the release's, below subnet_1 and subnet_2
    "squeeze": "cross_convs.conv1",
    "norm": "cross_convs.norm",
    "expand": "cross_convs.conv2",
}


@dataclass(frozen=True, slots=True)
class ReferenceCheckpoint:
    """The state dicts that the release stores: one per parallel flow, one for the fusion flow."""

    epoch: int
    parallel_flows: list[dict[str, Tensor]]
    fusion_flow: dict[str, Tensor]

    @property
    def channels(self) -> list[int]:
        """C_l of every scale."""
        return [flow["module_list.0.global_scale"].shape[1] for flow in self.parallel_flows]

    @property
    def blocks(self) -> list[int]:
        """Coupling blocks of every scale."""
        return [sum(name.endswith("global_scale") for name in flow) for flow in self.parallel_flows]

    @property
    def condition_channels(self) -> int:
        """Channels of the position condition."""
        count = self.channels[0]
        return int(self.parallel_flows[0]["module_list.0.subnet.conv1.weight"].shape[1]) - (count - count // 2)


def read(path: Path) -> ReferenceCheckpoint:
    """Reads a file of the original release; only tensors and plain containers are accepted (`weights_only`).

    Raises:
        UserError: not such a file.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint = ReferenceCheckpoint(
            int(content["epoch"]), list(content["parallel_flows"]), dict(content["fusion_flow"])
        )
        _ = checkpoint.channels, checkpoint.blocks, checkpoint.condition_channels  # what is asked of it must be there
        return checkpoint
    except FileNotFoundError:
        raise UserError(f"no checkpoint at {path}") from None
    except Exception as error:
        raise UserError(f"{path} is not a checkpoint of the original MSFlow release ({type(error).__name__})") from None


def to_msflow(checkpoint: ReferenceCheckpoint, clamp: float = 1.9, order: Sequence[int] | None = None) -> MSFlow:
    """Returns an MSFlow with the checkpoint's weights.

    The release numbers the permutations of its fusion flow arbitrarily: they are matched to the scales by length.

    Args:
        checkpoint: what `read` gave.
        clamp: the affine clamp, which the file does not hold.
        order: which of the stored permutations, in file order, belongs to each scale; for equal channels only.

    Raises:
        UserError: an ambiguous or impossible match, or weights of another architecture.
    """
    try:
        flow = MSFlow(checkpoint.channels, checkpoint.blocks, checkpoint.condition_channels, clamp)
        for part, state in zip(flow.parallel_flows, checkpoint.parallel_flows, strict=True):
            part.load_state_dict(state)
        if flow.fusion_flow is not None:
            flow.fusion_flow.load_state_dict(_fusion_state(checkpoint, order))
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise UserError(f"the checkpoint holds another architecture: {str(error).splitlines()[-1].strip()}") from None
    for name, value in flow.named_parameters():
        if name.endswith("w_perm") and not _permutes(value):
            raise UserError("the checkpoint holds soft permutations, MSFlow has hard ones")
    return flow


def _permutes(matrix: Tensor) -> bool:
    """Whether a matrix (C C 1 1) has a single 1 in each row and column and is 0 elsewhere."""
    ones = matrix == 1
    return bool(((ones | (matrix == 0)).all()) and (ones.sum(0) == 1).all() and (ones.sum(1) == 1).all())


def _fusion_state(checkpoint: ReferenceCheckpoint, order: Sequence[int] | None) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    permutations: list[Tensor] = []
    for name, value in checkpoint.fusion_flow.items():
        rest = re.sub(r"^module_list\.\d+\.", "", name)
        if rest == "perm":
            permutations.append(value)
        elif rest != "perm_inv":
            for ours, theirs in COUPLING_NAMES.items():
                rest = rest.replace(theirs, ours)
            state[rest] = value
    for scale, permutation in enumerate(_match(permutations, checkpoint.channels, order)):
        state[f"perm{scale}"] = permutation
    return state


def _match(permutations: list[Tensor], channels: list[int], order: Sequence[int] | None) -> list[Tensor]:
    if any(sorted(p.tolist()) != list(range(len(p))) for p in permutations):
        raise UserError("the fusion flow of the checkpoint holds an index vector that is no permutation")
    if sorted(len(p) for p in permutations) != sorted(channels):
        lengths = [len(p) for p in permutations]
        raise UserError(f"the fusion flow permutes {lengths} channels, the parallel flows have {channels}")
    if order is not None:
        if sorted(order) != list(range(len(channels))) or any(
            len(permutations[i]) != c for i, c in zip(order, channels, strict=True)
        ):
            raise UserError(
                f"the order {list(order)} does not fit permutations of {[len(p) for p in permutations]} channels"
            )
        return [permutations[i] for i in order]
    if len(set(channels)) < len(channels):
        raise UserError(
            f"scales of equal channels {channels}: the file does not say which permutation belongs to which scale, "
            f"so give the order of those in the file, such as --order {','.join(map(str, range(len(channels))))}"
        )
    by_length = {len(p): p for p in permutations}
    return [by_length[c] for c in channels]
