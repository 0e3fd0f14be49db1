"""Eight bits: convolutions in whole numbers, with ranges from what goes through a network for normal frames."""

from __future__ import annotations

import hashlib
import io
import logging
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msflow_stream.engines.openvino_file import save_openvino
from msflow_stream.scoring.engines.base import Samples, missing

log = logging.getLogger(__name__)


def check_quantiser() -> None:
    """Whether it is there.

    Raises:
        UserError: it is not.
    """
    try:
        import nncf  # noqa: F401
    except ImportError:
        raise missing("nncf", "openvino") from None


def quantised(core: Any, source: bytes, samples: Samples, cache: Path | None) -> Any:
    """An OpenVINO model in eight bits (NNCF's post-training quantisation).

    Args:
        core: of OpenVINO.
        source: the network, as ONNX.
        samples: batches of its inputs, of normal frames; not asked for if the cache has the model.
        cache: folder with models by what they were made of; one that cannot be written to stays as it is.
    """
    kept = None if cache is None else cache / f"{_digest(source)}.xml"
    if kept is not None and kept.exists():
        return core.read_model(kept)
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    batches = [[one.numpy() for one in sample] for sample in samples()]
    log.info("finding the ranges of numbers in %d batches of normal frames, once for these weights", len(batches))
    with redirect_stdout(io.StringIO()):  # bars of progress
        model = nncf.quantize(core.read_model(source), nncf.Dataset(batches), subset_size=len(batches))
    if kept is not None:
        _keep(model, kept)
    return model


def _keep(model: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_openvino(model, path)
    except (OSError, RuntimeError) as error:
        log.debug("the model in eight bits is not kept: %s", error)


def _digest(source: bytes) -> str:
    return hashlib.sha256(f"{version('openvino')} {version('nncf')} ".encode() + source).hexdigest()[:32]
