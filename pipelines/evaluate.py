"""`evaluate`: fit a model for every class or scene of a data set, score its test part, measure, and report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from msflow_stream.config.loading import differences, override
from msflow_stream.config.settings import Settings
from msflow_stream.datasets import DATASETS
from msflow_stream.evaluation.cases import EvaluationUnit, find_units
from msflow_stream.evaluation.measure import NORMAL, RESULT, measure, some_normal
from msflow_stream.evaluation.metrics.frames import Frames
from msflow_stream.evaluation.summary import COLUMNS, summarise, write_csv, write_report
from msflow_stream.files import read_json, write_json
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import make_inference, prepared
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError

from . import packaged_config
from .fit import FitJob, fit_frames
from .terminal.progress import progress
from .terminal.tables import print_events, print_summary

CLAIM = "evaluation.json"


def settings_file(data: str) -> Path:
    """Returns the file of settings that a data set is evaluated with unless others are given.

    Raises:
        UserError: an unknown data set.
    """
    config = DATASETS.find(data).config
    return config if isinstance(config, Path) else packaged_config(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateJob:
    """A data set to evaluate, and where its results go.

    Attributes:
        data: name of the data set.
        root: its folder.
        out: for results; one that holds results of the same settings is gone on with.
        classes: or scenes; all if empty.
        seeds: number of fits per class, with seeds from fit.seed on.
        device: such as auto, cpu or cuda.
        frames: which count for the frame-level AUROC of video: the sampled ones, or all, each with its newest score.
    """

    data: str
    root: Path
    out: Path
    classes: Sequence[str] = ()
    seeds: int = 1
    device: str = "auto"
    frames: Frames = "sampled"


def evaluate(job: EvaluateJob, settings: Settings, console: Console | None = None) -> dict[str, Any]:
    """Evaluates a data set, prints tables, and writes results.json, results.csv and report.html; returns the results.

    A class that is done is not done again, a fit that was stopped is gone on with, and one that fails does not stop
    the others.

    Raises:
        UserError: no such data, results of other settings in `out`, or, after all the others, classes that failed.
    """
    console = console or Console()
    units = find_units(job.data, job.root, job.classes)
    _claim(job, settings)
    results: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for unit in units:
        own = DATASETS[job.data].class_settings(unit.name, settings)
        try:
            results[unit.name] = [
                _one(unit, override(own, [f"fit.seed={settings.fit.seed + number}"]), job, console)
                for number in range(job.seeds)
            ]
        except (UserError, OSError, RuntimeError) as error:  # RuntimeError: out of memory on a GPU, for one
            failed[unit.name] = str(error)
            console.print(f"[red]{unit.name} failed:[/] {error}", highlight=False)
    said = set(failed)
    results = _with_earlier(job, settings, results, failed)
    for name in failed.keys() - said:
        console.print(f"[red]{name} failed:[/] {failed[name]}", highlight=False)
    summary = summarise(job.data, settings, results, failed) | {"frames": job.frames}
    if results:
        write_json(job.out / "results.json", summary)
        write_csv(job.out / "results.csv", summary)
        print_summary(console, summary)
        print_events(console, summary)
        main = [key for key in COLUMNS if key in summary["mean"]]
        write_report(job.out / "report.html", summary, _folders(job.out, results), main)
        console.print(f"look at [bold]{job.out / 'report.html'}[/], read {job.out / 'results.json'}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(results) + len(failed)} failed: {', '.join(failed)}; the reasons are above"
        )
    return summary


def _claim(job: EvaluateJob, settings: Settings) -> None:
    """Says in `out` what its results are of, and refuses a folder that holds results of something else."""
    path = job.out / CLAIM
    settings_now = settings.model_dump(mode="json")
    facts = {"data": job.data, "root": str(job.root.resolve()), "frames": job.frames}
    if path.exists():
        known = read_json(path)
        changed = [f"{key} was {known.get(key)}, is {value}" for key, value in facts.items() if known.get(key) != value]
        changed += differences(known["settings"], settings_now)
        if changed:
            raise UserError(f"{job.out} holds results of something else ({'; '.join(changed)}): choose another --out")
    job.out.mkdir(parents=True, exist_ok=True)
    write_json(path, facts | {"settings": settings_now})
    for left in (job.out / "classes").glob(".*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)


def _with_earlier(
    job: EvaluateJob, settings: Settings, results: dict[str, list[dict[str, Any]]], failed: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """The results with those of classes that an earlier run evaluated, in the order of the data set."""
    everything: dict[str, list[dict[str, Any]]] = {}
    for unit in find_units(job.data, job.root):
        folders = [job.out / "classes" / f"{unit.name}-{settings.fit.seed + number}" for number in range(job.seeds)]
        if unit.name in results:
            everything[unit.name] = results[unit.name]
        elif unit.name not in failed and all((folder / RESULT).is_file() for folder in folders):
            try:
                everything[unit.name] = [read_json(folder / RESULT) for folder in folders]
            except UserError as error:  # of a class that was not asked for: it must not cost the others
                failed[unit.name] = str(error)
    return everything


def _one(unit: EvaluationUnit, settings: Settings, job: EvaluateJob, console: Console) -> dict[str, Any]:
    """The result of one class and seed: read if it is there, else fitted, scored and measured."""
    name = f"{unit.name}-{settings.fit.seed}"
    folder = job.out / "classes" / name
    if (folder / RESULT).is_file():
        console.print(f"[bold]{unit.name}[/], seed {settings.fit.seed}: evaluated already")
        return read_json(folder / RESULT)
    console.print(f"[bold]{unit.name}[/], seed {settings.fit.seed}")
    scenes = job.out / "scenes"
    outcome = fit_frames(
        unit.fit_sources,
        f"reading {unit.name}",
        scenes / name,
        settings,
        FitJob(device=job.device, resume=True),
        console,
    )
    if outcome.state == "interrupted":
        console.print("the same command goes on from here")
        raise KeyboardInterrupt
    scene = Scene.load(scenes / name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        inference = make_inference(settings.engine, lambda one: prepared(one, islice(some_normal(unit), NORMAL)))
        scorer = Scorer(scene, job.device, inference=inference)
        with progress() as bars:
            task = bars.add_task(f"scoring {unit.name}", total=None)
            result = measure(unit, scorer, staging, job.frames, lambda cases: bars.advance(task, cases))
        staging.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
        if not result["masks"]:
            console.print(f"{unit.name}: not every anomalous case has a mask, so there are no metrics of pixels")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return result


def _folders(out: Path, results: dict[str, list[dict[str, Any]]]) -> dict[str, Path]:
    """Of every class, the folder of its first seed."""
    return {name: out / "classes" / f"{name}-{seeds[0]['seed']}" for name, seeds in results.items()}
