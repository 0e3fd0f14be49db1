"""Fits on the device in every precision beside the CPU's, and one that goes on from a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.scenes.feature_cache import feature_cache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import FlowFit
from tests.gpu.report import At
from tests.gpu.subjects import SMALL, frames, settings_for

PASSES = 3
CLOSE = 0.02  # of the CPU's loss
COUNT = 16  # frames


def check(at: At) -> None:
    """Checks the fit."""
    expected: list[float] = []
    with at.case("float32 on the CPU") as case:
        expected = _losses(at, "cpu", "float32")
        case.holds(expected[-1] < expected[0], f"losses of {PASSES} passes {_text(expected)} fall")
    if not at.cuda:
        at.skip("fp16 and bf16", "needs CUDA: a CPU takes too long in them")
    for precision in ("float32", "bfloat16", "float16") if at.cuda else ("float32",):
        with at.case(f"{precision} on {at.device.type}", needs=2) as case:
            found = _losses(at, str(at.device), precision)
            error = abs(found[-1] - expected[-1]) / max(1.0, abs(expected[-1]))
            case.below(error, CLOSE, f"losses {_text(found)}, the last differs from the CPU's by")
    if at.cuda:  # without, the tests compare them
        with at.case("features in the machine's memory", needs=2) as case:
            inside, outside = (_losses(at, str(at.device), "float32", *own) for own in ((), ("fit.cache_memory=1e-6",)))
            error = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(outside, inside, strict=True))
            case.below(error, 5e-3, f"losses {_text(outside)} differ from those of features on the GPU by")
    with at.case("resume from a file", needs=2) as case, tempfile.TemporaryDirectory() as folder:
        whole = _losses(at, str(at.device), "auto")
        scene, footage = _footage(at, str(at.device), "auto")
        with footage.cache:
            fit = FlowFit(scene, footage, FileCheckpoints(Path(folder)))
            started = fit.run()
            next(started)
            started.close()
            again = FlowFit(_scene(at, str(at.device), "auto"), footage, FileCheckpoints(Path(folder)))
            again.resume()
            list(again.run())
        losses = [done.loss for done in again.passes]
        error = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(losses, whole, strict=True))
        case.below(error, 5e-3, f"losses {_text(losses)} differ from those of an uninterrupted fit by")


def _scene(at: At, device: str, precision: str, *overrides: str) -> Scene:
    own = (f"fit.passes={PASSES}", "fit.batch=4", f"fit.precision={precision}", *overrides)
    return Scene.new("gate", settings_for(at, SMALL, *own)).to(device)


def _footage(at: At, device: str, precision: str, *overrides: str) -> tuple[Scene, NormalFeatures]:
    scene = _scene(at, device, precision, *overrides)
    cache = feature_cache(scene.settings.fit, device=scene.device)
    *_, found = extract(scene, [frames(COUNT if at.cuda else 8)], cache, 0.25)
    return scene, found


def _losses(at: At, device: str, precision: str, *overrides: str) -> list[float]:
    scene, footage = _footage(at, device, precision, *overrides)
    with footage.cache:
        return [done.loss for done in FlowFit(scene, footage).run()]


def _text(losses: list[float]) -> str:
    return " ".join(f"{one:.3f}" for one in losses)
