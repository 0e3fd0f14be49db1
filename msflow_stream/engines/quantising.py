"""Eight bits: convolutions in whole numbers, with ranges from what goes through a network for normal frames."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from msflow_stream.engines.engine import missing


def check_quantiser() -> None:
    """Whether it is there.

    Raises:
        UserError: it is not.
    """
    try:
        import nncf  # noqa: F401
    except ImportError:
        raise missing("nncf", "openvino") from None


def quantised(model: Any, samples: Sequence[Sequence[Tensor]]) -> Any:
    """An OpenVINO model in eight bits (NNCF's post-training quantisation).

    Args:
        model: in float32; it is used up.
        samples: batches of its inputs, of normal frames.
    """
    import nncf

    logger = logging.getLogger("nncf")
    logger.setLevel(logging.ERROR)
    data = nncf.Dataset([[one.numpy() for one in sample] for sample in samples])
    return nncf.quantize(model, data, subset_size=len(samples))
