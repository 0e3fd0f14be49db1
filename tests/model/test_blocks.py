"""FrEIA's blocks come without scipy.stats, and have all that they have with it."""

from __future__ import annotations

import subprocess
import sys

import torch

from msflow_stream.model.blocks import AllInOneBlock, SequenceINN
from msflow_stream.model.flows import Subnet
from tests.support.data import REPOSITORY


def test_flows_and_thresholds_cost_no_import_of_statistics() -> None:
    code = (
        "import sys, msflow_stream.teaching.drift.drift, pipelines.work; assert 'torch' not in sys.modules; "
        "import msflow_stream.model.msflow; assert 'scipy.stats' not in sys.modules; import scipy.stats as s; s.norm"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_a_block_that_rotates_has_a_rotation() -> None:
    flow = SequenceINN(4, 1, 1)
    flow.append(AllInOneBlock, subnet_constructor=lambda a, b: Subnet(a, b, 0, "none"), permute_soft=True)
    matrix = flow.module_list[0].w_perm[:, :, 0, 0]
    assert torch.allclose(matrix @ matrix.T, torch.eye(4), atol=1e-5)
    assert not torch.isin(matrix, torch.tensor([0.0, 1.0])).any()
