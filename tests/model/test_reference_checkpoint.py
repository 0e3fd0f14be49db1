"""Checkpoints of the original release: whatever order the file has, the same flow comes out; nothing is executed."""

from __future__ import annotations

import pickle
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from msflow_stream.model import reference_checkpoint
from msflow_stream.model.msflow import MSFlow
from msflow_stream.types import UserError
from tests.support.release import release_checkpoint

CHANNELS, BLOCKS, CONDITION = [6, 8, 10], [1, 2, 1], 8
SHAPES = [(6, 5), (3, 4), (2, 2)]


def some_flow(channels: list[int] = CHANNELS, seed: int = 3) -> MSFlow:
    return MSFlow(channels, BLOCKS, CONDITION, seed=seed).eval()


def features(channels: list[int] = CHANNELS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, c, *shape, generator=generator) for c, shape in zip(channels, SHAPES, strict=True)]


def written(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "release.pt")
    return folder / "release.pt"


def same(first: MSFlow, second: MSFlow, channels: list[int] = CHANNELS) -> bool:
    with torch.inference_mode():
        (z, logdet), (other, other_logdet) = first(features(channels)), second.eval()(features(channels))
    return torch.equal(logdet, other_logdet) and all(torch.equal(a, b) for a, b in zip(z, other, strict=True))


@pytest.mark.parametrize("numbering", list(permutations(range(3))))
def test_the_numbering_of_the_permutations_does_not_matter(tmp_path: Path, numbering: tuple[int, ...]) -> None:
    flow = some_flow()
    checkpoint = reference_checkpoint.read(written(tmp_path, release_checkpoint(flow, numbering, epoch=12)))
    assert (checkpoint.channels, checkpoint.blocks, checkpoint.condition_channels) == (CHANNELS, BLOCKS, CONDITION)
    assert checkpoint.epoch == 12
    assert same(flow, reference_checkpoint.to_msflow(checkpoint))


def test_scales_of_equal_channels_are_refused_until_the_order_is_given(tmp_path: Path) -> None:
    channels = [8, 8, 6]
    flow = some_flow(channels)
    checkpoint = reference_checkpoint.read(written(tmp_path, release_checkpoint(flow, (2, 0, 1))))
    with pytest.raises(UserError, match=r"equal channels.*--order 0,1,2"):
        reference_checkpoint.to_msflow(checkpoint)
    assert same(flow, reference_checkpoint.to_msflow(checkpoint, order=[2, 0, 1]), channels)
    assert not same(flow, reference_checkpoint.to_msflow(checkpoint, order=[0, 2, 1]), channels)


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], [1, 0, 2]])
def test_an_order_that_does_not_fit_is_refused(tmp_path: Path, order: list[int]) -> None:
    checkpoint = reference_checkpoint.read(written(tmp_path, release_checkpoint(some_flow())))
    with pytest.raises(UserError, match="does not fit"):
        reference_checkpoint.to_msflow(checkpoint, order=order)


def test_an_affine_clamp_other_than_the_usual_is_taken(tmp_path: Path) -> None:
    flow = MSFlow(CHANNELS, BLOCKS, CONDITION, clamp=1.2).eval()
    checkpoint = reference_checkpoint.read(written(tmp_path, release_checkpoint(flow)))
    assert same(flow, reference_checkpoint.to_msflow(checkpoint, clamp=1.2))
    assert not same(flow, reference_checkpoint.to_msflow(checkpoint))


class Executed:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    file = written(tmp_path, release_checkpoint(some_flow()) | {"extra": Executed(proof)})
    with pytest.raises(UserError, match="not a checkpoint"):
        reference_checkpoint.read(file)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Executed(proof), protocol=2))
    with pytest.raises(UserError, match="not a checkpoint"):
        reference_checkpoint.read(tmp_path / "plain.pt")
    assert not proof.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": 1},
        [1, 2],
        {"epoch": 1, "parallel_flows": [{}], "fusion_flow": {}},
        {"epoch": 1, "parallel_flows": [1, 2], "fusion_flow": {}},
        {"epoch": 1, "parallel_flows": 3, "fusion_flow": {}},
    ],
)
def test_another_file_of_torch_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UserError, match="not a checkpoint of the original"):
        reference_checkpoint.read(written(tmp_path, content))


def test_text_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(UserError, match="not a checkpoint"):
        reference_checkpoint.read(tmp_path / "text.pt")
    with pytest.raises(UserError, match="no checkpoint at"):
        reference_checkpoint.read(tmp_path / "nowhere.pt")


def broken(name: str) -> dict[str, Any]:
    content = release_checkpoint(some_flow())
    first, fusion = content["parallel_flows"][0], content["fusion_flow"]
    if name == "a missing weight":
        del first["module_list.0.subnet.conv2.bias"]
    elif name == "a soft permutation":
        first["module_list.0.w_perm"] = torch.linalg.qr(torch.randn(6, 6)).Q[:, :, None, None]
    elif name == "an index twice":
        fusion["module_list.0.perm"] = torch.zeros_like(fusion["module_list.0.perm"])
    elif name == "a scale too few":
        content["parallel_flows"] = content["parallel_flows"][:2]
    elif name == "no flows at all":
        content["parallel_flows"] = []
    return content


@pytest.mark.parametrize(
    "name", ["a missing weight", "a soft permutation", "an index twice", "a scale too few", "no flows at all"]
)
def test_a_checkpoint_that_does_not_hold_together_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, broken(name))
    with pytest.raises(UserError) as caught:
        reference_checkpoint.to_msflow(reference_checkpoint.read(file))
    assert "\n" not in str(caught.value)
