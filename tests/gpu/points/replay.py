"""Recorded graphs: they give what the same steps give one by one, for batches of all sizes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from msflow_stream.config.engines import EnginePrecision
from msflow_stream.scenes.scene import Measures, Scene
from msflow_stream.scoring.engines.base import Engine, Run
from msflow_stream.scoring.engines.recording import SIZES, Recording
from msflow_stream.scoring.engines.torch_engine import TorchEngine
from tests.gpu.report import At
from tests.gpu.subjects import SMALL, engine_for, fitted, inference_of, measures_by, prepared, relative_error

BATCHES = (1, 2, 3, 8, 32, 33, 70)
BOUNDS: dict[EnginePrecision, float] = {"float32": 1e-4, "bf16": 3e-2}  # of a score: other sizes have other kernels
MEBI = 2**20


def check(at: At) -> None:
    """Checks both precisions."""
    scene = fitted(at, SMALL)
    images = [prepared(scene, 8, traffic) for traffic in (0, 1)]
    for precision in BOUNDS if at.cuda else ("float32",):
        _check_precision(at, scene, images, precision)


def _check_precision(at: At, scene: Scene, images: Sequence[Tensor], precision: EnginePrecision) -> None:
    replaying, eager = inference_of(engine_for(at, precision)), inference_of(_without_recordings(at, precision))
    with _listening() as said:
        for count in BATCHES if at.cuda else BATCHES[:4]:
            with at.case(f"{precision} batch {count}{_padded(count)}") as case:
                before = torch.cuda.memory_reserved(at.device) if at.cuda else 0
                first, again, other = (
                    measures_by(replaying, scene, _many(batch, count)) for batch in (images[0], images[0], images[1])
                )
                grown = torch.cuda.memory_reserved(at.device) - before if at.cuda else 0
                expected = measures_by(eager, scene, _many(images[1], count))
                largest = max(float(one.abs().max()) for one in expected[:-1])
                text = f"of scores up to {largest:.3g}, max difference to steps one by one"
                case.below(relative_error(other, expected), BOUNDS[precision], text)
            with at.case(f"{precision} batch {count}, replays") as case:
                moved, still = _change(first, other), _change(first, again)
                text = f"the same frames change the scores by {still:.2g}, others by {moved:.2g};"
                case.holds(moved > 1e-3 and still < 1e-6, f"{text} memory taken {grown / MEBI:.0f} MiB")
    with at.case(f"{precision} recordings") as case:
        wrong = [line for line in said if "graph" in line.lower()]
        case.holds(not wrong, "all were made, none is empty" if not wrong else "; ".join(wrong)[:300])
    with at.case(f"{precision} memory") as case:
        taken = sum(functions.nbytes for functions in replaying.scenes.all())
        case.measured(
            taken / MEBI, f"the scene's recordings for batches up to {SIZES[-1]}, and its weights, take", " MiB"
        )


def _without_recordings(at: At, precision: EnginePrecision) -> Engine:
    def refuse(run: Run, inputs: Sequence[Tensor]) -> Recording:
        raise RuntimeError("steps one by one, to compare with")

    engine = engine_for(at, precision)
    assert isinstance(engine, TorchEngine)
    engine.record = refuse
    return engine


def _padded(count: int) -> str:
    size = next((size for size in SIZES if size >= count), None)
    return "" if size == count else f" padded to {size}" if size else " in parts"


def _many(images: Tensor, count: int) -> Tensor:
    """So many images, none quite like another."""
    repeated = images.repeat(-(-count // len(images)), 1, 1, 1)[:count]
    return repeated * torch.linspace(0.9, 1.1, count)[:, None, None, None]


def _change(found: Measures, other: Measures) -> float:
    return float((found.surprise - other.surprise).abs().max() / other.surprise.abs().max())


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Warnings and lines of the log as they come, but for those that come of refusing to record."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "to compare with" not in record.getMessage():
                said.append(record.getMessage())

    logger, listener = logging.getLogger("msflow_stream"), Listener(logging.WARNING)
    logger.addHandler(listener)
    logger.propagate = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            logger.removeHandler(listener)
            logger.propagate = True
            said += [str(one.message) for one in caught]
