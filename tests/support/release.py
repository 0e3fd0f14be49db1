"""Writes the weights of an MSFlow the way the original release stores them (section by section, names and all)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msflow_stream.model.msflow import MSFlow


def release_checkpoint(flow: MSFlow, numbering: Sequence[int] | None = None, epoch: int = 1) -> dict[str, Any]:
    """A checkpoint of the release.

    Args:
        flow: with a fusion flow.
        numbering: which stored permutation each scale's becomes; in order if None.
        epoch: that the file says.
    """
    scales = len(flow.parallel_flows)
    number = list(range(scales)) if numbering is None else list(numbering)
    fusion = {}
    for k in range(scales):
        permutation = flow.state_dict()[f"fusion_flow.perm{number.index(k)}"]
        fusion[f"module_list.{k}.perm"] = permutation
        fusion[f"module_list.{k}.perm_inv"] = permutation.argsort()
    names = {"squeeze.": "cross_convs.conv1.", "norm.": "cross_convs.norm.", "expand.": "cross_convs.conv2."}
    assert flow.fusion_flow is not None
    for name, value in flow.fusion_flow.state_dict().items():
        if name.startswith("subnet_"):
            subnet, rest = name.split(".", 1)
            for ours, theirs in names.items():
                rest = rest.replace(ours, theirs)
            fusion[f"module_list.{scales}.{subnet}.{rest}"] = value
    return {
        "epoch": epoch,
        "parallel_flows": [dict(part.state_dict()) for part in flow.parallel_flows],
        "fusion_flow": fusion,
    }
