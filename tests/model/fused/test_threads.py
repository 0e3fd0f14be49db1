"""A pyramid is fused in one thread while others compute, and fuse, in theirs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import torch
from torch import nn

from msflow_stream.model.fused import FusedPyramid
from msflow_stream.model.pyramid import Pyramid


def test_other_threads_compute_while_a_pyramid_is_fused() -> None:
    pyramid, module, done = Pyramid("test_resnet", stages=(1, 2)), nn.Sequential(nn.Linear(3, 3), nn.ReLU()), Event()
    before = nn.Module.__call__

    def compute() -> int:
        count = 0
        while not done.is_set() or not count:
            module(torch.zeros(2, 3))
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        computing = pool.submit(compute)
        try:
            fused = list(pool.map(FusedPyramid, [pyramid] * 4))
        finally:
            done.set()
        assert computing.result() > 0
    assert nn.Module.__call__ is before
    images = torch.randn(1, 3, 32, 48)
    with torch.inference_mode():
        assert all(torch.allclose(fused[0](images)[0], one(images)[0]) for one in fused)
        assert not any(isinstance(one, nn.BatchNorm2d) for model in fused for one in model.modules())
