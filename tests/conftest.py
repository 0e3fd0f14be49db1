"""Settings of all tests: one thread of torch each, since the tests run in parallel."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
