"""Direct convolutions in OpenVINO, which has two families of them and takes the slower one on CPUs without AVX-512.

Convolutions as batches of small matrix products are its first choice: on AVX2 they took 1.2 times as long for the
backbones of mobile networks as the older direct ones, whose memory holds channels in blocks of eight.
"""

from __future__ import annotations

import logging
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)

PREFERRED = {"Convolution": "cpu:jit_avx2_1x1,cpu:jit_avx2", "GroupConvolution": "cpu:jit_avx2_dw"}  # what else, after
BLOCK = 8  # channels: floats in a register of AVX2


def direct_convolutions(core: Any, model: Any) -> Any:
    """Returns an OpenVINO model that prefers them where they are faster, or the model itself.

    That is beside depthwise convolutions, in blocks that are full, on a CPU that has AVX2 and not AVX-512.

    Args:
        core: OpenVINO's core.
        model: it is left as it is.
    """
    convolutions = [operation for operation in model.get_ops() if operation.get_type_name() in PREFERRED]
    depthwise = any(one.get_type_name() == "GroupConvolution" for one in convolutions)
    full = all(one.get_output_partial_shape(0)[1].get_length() % BLOCK == 0 for one in convolutions)
    if not depthwise or not full or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return model
    try:
        return preferring_direct(core, model)
    except OSError as error:  # no place for a temporary file
        log.debug("convolutions stay as OpenVINO chooses them", exc_info=error)
        return model


def preferring_direct(core: Any, model: Any) -> Any:
    """Returns an OpenVINO model that prefers them wherever they can be had; `model` is left as it is."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="msflow-") as folder:
        path = Path(folder) / "model.xml"
        openvino.serialize(model, path)
        return core.read_model(_with_preferences(path.read_bytes()), path.with_suffix(".bin").read_bytes())


def _with_preferences(source: bytes) -> bytes:
    """OpenVINO's own description of a network, with what its layers are to be computed by."""
    network = ElementTree.fromstring(source)
    for layer in network.iterfind("layers/layer"):
        preferred = PREFERRED.get(layer.get("type", ""))
        if preferred is not None:
            facts = layer.find("rt_info")
            if facts is None:
                facts = ElementTree.Element("rt_info")
                layer.insert(1, facts)  # behind `data`
            ElementTree.SubElement(facts, "attribute", name="primitives_priority", version="0", value=preferred)
    return ElementTree.tostring(network)
