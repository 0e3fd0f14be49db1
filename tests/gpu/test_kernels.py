"""The kernels on a GPU compute what the plain operations say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from msflow_stream.model.fused import kernels as plain
from msflow_stream.model.fused.kernels import operation
from tests.model.fused.kernel_cases import all_cases, steps_between

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]


class OnGpu:
    """The operations, for tensors of the CPU, computed on the GPU."""

    def __getattr__(self, name: str) -> Callable[..., Tensor | None]:
        def call(*arguments: Any) -> Tensor | None:
            there = [one.cuda() if isinstance(one, Tensor) else one for one in arguments]
            found: Tensor | None = getattr(plain, name)(*there)
            if found is None:
                arguments[0].copy_(there[0])
            return None if found is None else found.cpu()

        return call


def test_each_kernel_computes_what_its_operation_says() -> None:
    pytest.importorskip("triton")
    assert operation._launchers(torch.zeros(1, device="cuda").device) is not None
    steps = {name: steps_between(case(OnGpu()), case(plain)) for name, case in all_cases()}
    assert max(steps.values()) < 8, steps  # last digits of the largest value; a GPU's exponential is to two of them
