"""A class or scene of `evaluate`: for each of some seeds a model is fitted, and the test part scored and measured."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from msflow_stream.config.loading import override
from msflow_stream.config.settings import Settings
from msflow_stream.evaluation.cases import EvaluationUnit, find_units
from msflow_stream.evaluation.measure import NORMAL, RESULT, measure, some_normal
from msflow_stream.evaluation.metrics.frames import Frames
from msflow_stream.files import read_json
from msflow_stream.names import portable_name
from msflow_stream.scenes.folder import RECORD
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import make_inference, prepared
from msflow_stream.scoring.scorer import Scorer

from .fit import FitJob, fit_frames
from .storage.copies import local_copy
from .storage.held import held
from .storage.places import Place
from .storage.urls import Spec
from .storage.weights import pyramid_at
from .terminal.consoles import summary_console, trouble_console
from .terminal.progress import progress

Result = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRun:
    """The evaluation of one class or scene, as any machine can do it.

    Attributes:
        data, root, name: the data set, its folder or URL, and the class in it.
        settings: those of the class.
        seeds: a fit for each.
        out: for scenes and results.
        weights: the backbone's file, where the settings' name for it is not enough.
        alone: whether no other program can have begun the same.
    """

    data: str
    root: Spec
    name: str
    settings: Settings
    seeds: Sequence[int]
    out: Place
    device: str
    frames: Frames
    weights: Spec | None
    alone: bool


def class_part(name: str, seed: int) -> str:
    """Returns the name of the folder of a class's results, in the folder of all results."""
    return f"classes/{portable_name(name)}-{seed}"


def evaluate_class(run: ClassRun, unit: EvaluationUnit | None = None, console: Console | None = None) -> list[Result]:
    """Returns the result of every seed, read if it is there, else made.

    Args:
        run: what to do.
        unit: the class, if it was found already.
        console: for results.
    """
    console = console or summary_console()
    with _found(run) if unit is None else nullcontext(unit) as found:
        return [_one(found, run, seed, console) for seed in run.seeds]


@contextmanager
def _found(run: ClassRun) -> Iterator[EvaluationUnit]:
    with local_copy(run.root) as root:
        (unit,) = find_units(run.data, root, [run.name])
        yield unit


def _one(unit: EvaluationUnit, run: ClassRun, seed: int, console: Console) -> Result:
    """The result of one class and seed: read if it is there, else fitted, scored and measured."""
    out, part = run.out, class_part(unit.name, seed)
    with nullcontext() if run.alone else held(out.folder / part):
        if out.fetch(part, RESULT):
            console.print(f"[bold]{unit.name}[/], seed {seed}: evaluated already")
            return read_json(out.folder / part / RESULT)
        console.print(f"[bold]{unit.name}[/], seed {seed}")
        settings = override(run.settings, [f"fit.seed={seed}"])
        scene = _fitted(unit, settings, run, console)
        result = _measured(unit, scene, settings, run, out.folder / part)
        out.publish(part, RESULT)
        out.forget(part)
        out.forget(f"scenes/{scene.name}")
    if not result["masks"]:
        said = f"{unit.name}: not every anomalous case has a mask, so there are no metrics of pixels"
        trouble_console(console).print(said)
    return result


def _fitted(unit: EvaluationUnit, settings: Settings, run: ClassRun, console: Console) -> Scene:
    """The scene of one class and seed: loaded if it is there, else fitted."""
    part = f"scenes/{portable_name(unit.name)}-{settings.fit.seed}"
    folder = run.out.folder / part
    run.out.fetch(part, RECORD)
    job = FitJob(device=run.device, resume=True)
    pyramid = pyramid_at(settings, run.weights)
    outcome = fit_frames(unit.fit_sources, f"reading {unit.name}", folder, settings, job, console, pyramid)
    if outcome.state == "interrupted":
        console.print("the same command goes on from here")
        raise KeyboardInterrupt
    if outcome.state == "fitted":
        run.out.publish(part, RECORD)
    return Scene.load(folder)


def _measured(unit: EvaluationUnit, scene: Scene, settings: Settings, run: ClassRun, folder: Path) -> Result:
    """The result of scoring the test part, in a folder that is there once it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        inference = make_inference(settings.engine, lambda one: prepared(one, islice(some_normal(unit), NORMAL)))
        scorer = Scorer(scene, run.device, inference=inference)
        with progress() as bars:
            task = bars.add_task(f"scoring {unit.name}", total=None)
            result = measure(unit, scorer, staging, run.frames, lambda cases: bars.advance(task, cases))
        staging.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return result
