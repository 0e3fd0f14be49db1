"""`evaluate`: fit a model for every class or scene of a data set, score its test part, measure, and report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from msflow_stream.config.loading import differences
from msflow_stream.config.settings import Settings
from msflow_stream.datasets import DATASETS
from msflow_stream.evaluation.cases import EvaluationUnit, find_units
from msflow_stream.evaluation.measure import RESULT
from msflow_stream.evaluation.metrics.frames import Frames
from msflow_stream.evaluation.summary import COLUMNS, summarise, write_csv, write_report
from msflow_stream.files import read_json, write_json
from msflow_stream.types import UserError

from . import packaged_config
from .evaluate_class import ClassRun, Result, class_part, evaluate_class
from .storage.copies import local_copy
from .storage.places import Place, place
from .storage.urls import Spec, absolute, is_url, joined
from .storage.weights import weights_at
from .terminal.consoles import summary_console, trouble_console
from .terminal.tables import print_events, print_summary
from .units import Failed, Here, Unit, UnitRunner

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
        root: its folder, or the URL of one.
        out: folder for results, or the URL of one; one that holds results of the same settings is gone on with.
        classes: or scenes; all if empty.
        seeds: number of fits per class, with seeds from fit.seed on.
        device: such as auto, cpu or cuda.
        frames: which count for the frame-level AUROC of video: the sampled ones, or all, each with its newest score.
    """

    data: str
    root: Spec
    out: Spec
    classes: Sequence[str] = ()
    seeds: int = 1
    device: str = "auto"
    frames: Frames = "sampled"


def evaluate(
    job: EvaluateJob, settings: Settings, console: Console | None = None, runner: UnitRunner | None = None
) -> dict[str, Any]:
    """Evaluates a data set, prints tables, and writes results.json, results.csv and report.html; returns the results.

    A class that is done is not done again, a fit that was stopped is gone on with, and one that fails does not stop
    the others.

    Args:
        job: the data set, and where its results go.
        settings: settings of all classes, apart from what a class has of its own.
        console: for results.
        runner: where the classes are evaluated; here if None.

    Raises:
        UserError: no such data, results of other settings in `out`, or, after all the others, classes that failed.
    """
    console, runner = console or summary_console(), runner or Here()
    out = place(job.out if isinstance(runner, Here) else absolute(job.out))
    with local_copy(job.root) as root:
        units = find_units(job.data, root, job.classes)
        _claim(job, out, settings)
        results, failed = _evaluated(units, job, out, settings, console, runner)
        said = set(failed)
        results = _with_earlier(find_units(job.data, root), job, out, settings, results, failed)
    for name in failed.keys() - said:
        trouble_console(console).print(f"[red]{name} failed:[/] {failed[name]}", highlight=False)
    summary = summarise(job.data, settings, results, failed) | {"frames": job.frames}
    if results:
        _write(job, out, results, summary, console)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(results) + len(failed)} failed: {', '.join(failed)}; the reasons are above"
        )
    out.forget()
    return summary


def _evaluated(
    units: Sequence[EvaluationUnit],
    job: EvaluateJob,
    out: Place,
    settings: Settings,
    console: Console,
    runner: UnitRunner,
) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """Evaluates classes; returns the results of their seeds, and why others failed."""
    done: dict[str, list[Result] | Failed] = {}

    def note(work: Unit, result: list[Result] | Failed) -> None:
        done[work.key] = result
        if isinstance(result, Failed):
            trouble_console(console).print(f"[red]{work.key} failed:[/] {result.text}", highlight=False)

    works = {unit.name: _works(unit, job, out, settings, console, runner) for unit in units}
    runner.run([work for group in works.values() for work in group], note, f"evaluating {job.data}")
    results: dict[str, list[Result]] = {}
    failed: dict[str, str] = {}
    for name, group in works.items():
        results[name] = []
        for answer in (done[work.key] for work in group):
            if isinstance(answer, Failed):
                failed.setdefault(name, answer.text)
            else:
                results[name] += answer
    return {name: seeds for name, seeds in results.items() if name not in failed}, failed


def _works(
    unit: EvaluationUnit, job: EvaluateJob, out: Place, settings: Settings, console: Console, runner: UnitRunner
) -> list[Unit]:
    """The units of work of a class: one for all seeds here, and one for each seed on a cluster."""
    here, part, own = (
        isinstance(runner, Here),
        runner.share(job.device),
        DATASETS[job.data].class_settings(unit.name, settings),
    )
    run = ClassRun(
        data=job.data,
        root=job.root if here else absolute(job.root),
        name=unit.name,
        settings=own,
        seeds=_seeds(job, settings),
        out=out,
        device=part.device,
        frames=job.frames,
        weights=None if here and not is_url(own.model.weights) else weights_at(own),
        alone=here,
    )
    if here:
        return [Unit(unit.name, evaluate_class, (run, unit, console))]
    keys = {seed: unit.name if job.seeds == 1 else f"{unit.name}, seed {seed}" for seed in run.seeds}
    runs = {key: replace(run, seeds=[seed]) for seed, key in keys.items()}
    return [Unit(key, evaluate_class, (one,), part.cpus, part.gpus) for key, one in runs.items()]


def _seeds(job: EvaluateJob, settings: Settings) -> list[int]:
    return [settings.fit.seed + number for number in range(job.seeds)]


def _claim(job: EvaluateJob, out: Place, settings: Settings) -> None:
    """Says in `out` what its results are of, and refuses a folder that holds results of something else."""
    path = out.fetch_file(CLAIM)
    settings_now = settings.model_dump(mode="json")
    facts = {"data": job.data, "root": str(absolute(job.root)), "frames": job.frames}
    if path.exists():
        known = read_json(path)
        changed = [f"{key} was {known.get(key)}, is {value}" for key, value in facts.items() if known.get(key) != value]
        changed += differences(known["settings"], settings_now)
        if changed:
            raise UserError(f"{job.out} holds results of something else ({'; '.join(changed)}): choose another --out")
    out.folder.mkdir(parents=True, exist_ok=True)
    write_json(path, facts | {"settings": settings_now})
    out.publish_file(CLAIM)
    for left in (out.folder / "classes").glob(".*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)


def _with_earlier(
    units: Sequence[EvaluationUnit],
    job: EvaluateJob,
    out: Place,
    settings: Settings,
    results: Mapping[str, list[Result]],
    failed: dict[str, str],
) -> dict[str, list[Result]]:
    """The results with those of classes that an earlier run evaluated, in the order of the data set."""
    everything: dict[str, list[Result]] = {}
    for unit in units:
        parts = [class_part(unit.name, seed) for seed in _seeds(job, settings)]
        if unit.name in results:
            everything[unit.name] = results[unit.name]
        elif unit.name not in failed and all(out.fetch(part, RESULT) for part in parts):
            try:
                everything[unit.name] = [read_json(out.folder / part / RESULT) for part in parts]
            except UserError as error:  # of a class that was not asked for: it must not cost the others
                failed[unit.name] = str(error)
    return everything


def _write(
    job: EvaluateJob, out: Place, results: Mapping[str, list[Result]], summary: dict[str, Any], console: Console
) -> None:
    """Writes the summary as JSON, CSV and HTML, and prints it."""
    write_json(out.folder / "results.json", summary)
    write_csv(out.folder / "results.csv", summary)
    print_summary(console, summary)
    print_events(console, summary)
    firsts = {name: class_part(name, seeds[0]["seed"]) for name, seeds in results.items()}
    for part in firsts.values():
        if not out.fetch(part, RESULT):
            raise UserError(f"{joined(job.out, part)} is not here: --out is a folder that all nodes share, or a URL")
    main = [key for key in COLUMNS if key in summary["mean"]]
    folders = {name: out.folder / part for name, part in firsts.items()}
    write_report(out.folder / "report.html", summary, folders, main)
    for name in ("results.json", "results.csv", "report.html"):
        out.publish_file(name)
    console.print(f"look at [bold]{joined(job.out, 'report.html')}[/], read {joined(job.out, 'results.json')}")
