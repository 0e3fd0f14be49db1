"""`fit`: normal footage of one camera view becomes a scene."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import timm
import torch
from rich.console import Console
from rich.progress import Progress

import msflow_stream
from msflow_stream.config import Settings
from msflow_stream.scene import Scene
from msflow_stream.scorer import choose_device
from msflow_stream.training import Footage, Pass, calibrate, extract, feature_cache, fit_flow
from msflow_stream.types import Frame, UserError
from msflow_stream.video.sources import expand_sources, open_source
from pipelines.terminal import progress


def fit(
    sources: Sequence[str],
    folder: Path,
    settings: Settings,
    device: str = "auto",
    overwrite: bool = False,
    image_rate: Fraction = Fraction(25),
    console: Console | None = None,
) -> Path:
    """Fits a scene and saves it as `folder`, whose name is the scene's.

    Ctrl-C during the passes keeps those that are complete: the scene is saved with them.

    Raises:
        UserError: bad sources or settings, an existing folder, or an interruption before the first pass ended.
    """
    console = console or Console()
    specs = expand_sources(sources)
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} exists already: choose another --scene or give --overwrite")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scene = Scene.new(folder.name, settings).to(choose_device(device))
    started = time.monotonic()
    with feature_cache(settings.fit, folder.parent) as cache, progress() as bars:
        footage = Footage(cache)
        task = bars.add_task(f"reading {len(specs)} source{'s' * (len(specs) > 1)}", total=None)
        for footage in extract(scene, _frames(specs, settings.score.every, image_rate), cache, settings.fit.holdout):
            bars.update(task, completed=len(footage.origin))
        bars.remove_task(task)
        passes = _passes(scene, footage, bars, console)
        if not passes:
            raise UserError("stopped before the first pass was complete: nothing is saved")
        scene.calibration = calibrate(scene, footage)
    scene.record = _record(scene, footage, passes, time.monotonic() - started)
    scene.save(folder, overwrite)
    _report(console, folder, scene, passes)
    return folder


def _frames(specs: Sequence[str], every: int, image_rate: Fraction) -> Iterator[Iterator[Frame]]:
    for spec in specs:
        with open_source(spec, every, image_rate) as reader:
            yield iter(reader)


def _passes(scene: Scene, footage: Footage, bars: Progress, console: Console) -> list[Pass]:
    """Runs the passes with a bar; Ctrl-C ends them early."""
    total = scene.settings.fit.passes * len(footage.fitted)
    task = bars.add_task("fitting", total=total)
    passes: list[Pass] = []
    try:
        for done in fit_flow(scene, footage, lambda frames: bars.advance(task, frames)):
            passes.append(done)
            held_out = "" if done.held_out_loss is None else f", held out {done.held_out_loss:.4f}"
            line = f"pass {done.number}/{scene.settings.fit.passes}, loss {done.loss:.4f}{held_out}"
            bars.update(task, description=line)
            if not bars.console.is_terminal:  # a log wants lines
                bars.console.print(line)
    except KeyboardInterrupt:
        console.print(f"stopped: {len(passes)} of {scene.settings.fit.passes} passes are complete")
    bars.remove_task(task)
    return passes


def _record(scene: Scene, footage: Footage, passes: Sequence[Pass], seconds: float) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "device": str(scene.device),
        "sources": footage.sources,
        "frames": len(footage.fitted),
        "held_out_frames": len(footage.held_out),
        "passes": len(passes),
        "loss": [round(done.loss, 6) for done in passes],
        "held_out_loss": [done.held_out_loss and round(done.held_out_loss, 6) for done in passes],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What a result depends on."""
    return {
        "msflow_stream": msflow_stream.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "av": av.__version__,
    }


def _report(console: Console, folder: Path, scene: Scene, passes: Sequence[Pass]) -> None:
    first, last = passes[0], passes[-1]
    console.print(
        f"scene [bold]{scene.name}[/]: {scene.record['frames']} frames fitted in {len(passes)} passes, "
        f"{scene.record['held_out_frames']} held out; loss {first.loss:.3f} -> {last.loss:.3f}, "
        f"{scene.record['seconds']:.0f} s; saved in {folder}"
    )
