"""The golden tensors: numbers that a correct MSFlow gives, computed elsewhere in float64."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from msflow_stream.model import reference_checkpoint
from msflow_stream.model.aggregate import anomaly_maps, top_k_mean
from msflow_stream.model.flows import position_condition
from msflow_stream.model.msflow import MSFlow, negative_log_likelihood
from tests.support import data

TOLERANCE = 1e-5  # relative to the largest value of the expected tensor


@dataclass(frozen=True, slots=True)
class Golden:
    flow: MSFlow
    expected: dict[str, Tensor]
    size: tuple[int, int]
    top_k: float

    def series(self, name: str) -> list[Tensor]:
        return [self.expected[f"{name}.{scale}"] for scale in range(len(self.flow.parallel_flows))]


def _pairs() -> list[Path]:
    folder = Path(os.environ.get("MSFLOW_GOLDEN", data.ROOT / "golden"))
    return sorted(path for path in folder.glob("*.pt") if path.with_suffix(".expected.safetensors").exists())


if not _pairs():
    pytest.skip("no golden tensors: set MSFLOW_GOLDEN to their folder", allow_module_level=True)


@pytest.fixture(params=_pairs(), ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Golden:
    path: Path = request.param
    with safe_open(path.with_suffix(".expected.safetensors"), "pt") as file:
        facts = file.metadata()
        expected = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    flow = reference_checkpoint.to_msflow(reference_checkpoint.read(path), float(facts["clamp"])).eval()
    height, width = json.loads(facts["input_size"])
    return Golden(flow, expected, (height, width), float(facts["top_k"]))


def close(found: Tensor, expected: Tensor) -> bool:
    assert found.shape == expected.shape
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


@torch.inference_mode()
def test_the_position_condition_is_the_expected_one(golden: Golden) -> None:
    for expected in golden.series("position"):
        assert close(position_condition(*expected.shape), expected)


@torch.inference_mode()
def test_the_parallel_flows_give_the_expected_outputs(golden: Golden) -> None:
    outputs, logdets = golden.flow.parallel(golden.series("feature"))
    assert all(close(y, expected) for y, expected in zip(outputs, golden.series("parallel"), strict=True))
    assert close(torch.stack(logdets, 1), golden.expected["parallel_logdet"])


@torch.inference_mode()
def test_the_fusion_flow_gives_the_expected_latents(golden: Golden) -> None:
    assert golden.flow.fusion_flow is not None
    z, logdet = golden.flow.fusion_flow(golden.series("parallel"))
    assert all(close(one, expected) for one, expected in zip(z, golden.series("z"), strict=True))
    assert close(logdet, golden.expected["fusion_logdet"])


@torch.inference_mode()
def test_the_whole_flow_gives_the_expected_likelihood(golden: Golden) -> None:
    z, logdet = golden.flow(golden.series("feature"))
    assert all(close(one, expected) for one, expected in zip(z, golden.series("z"), strict=True))
    assert close(logdet, golden.expected["logdet"])
    assert close(negative_log_likelihood(z, logdet), golden.expected["nll"])


@torch.inference_mode()
def test_maps_and_scores_are_the_expected_ones(golden: Golden) -> None:
    maps = anomaly_maps(golden.flow(golden.series("feature"))[0], golden.size)
    assert close(maps.add, golden.expected["add_map"])
    assert close(maps.mul, golden.expected["mul_map"])
    assert close(top_k_mean(maps.mul, golden.top_k), golden.expected["image_score"])
