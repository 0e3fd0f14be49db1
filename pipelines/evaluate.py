"""`evaluate`: fit a model for every class or scene of a data set, score its test part, measure, and report."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from msflow_stream.batches import batched
from msflow_stream.config import Settings, differences, override
from msflow_stream.engines.scoring import PlainScoring, Scoring
from msflow_stream.machine import choose_device
from msflow_stream.metrics.histogram import ValueCounts, halves
from msflow_stream.metrics.video import Frames
from msflow_stream.model.aggregate import Maps, depth
from msflow_stream.results import read_json, write_json
from msflow_stream.scene import Scene
from msflow_stream.types import SCORE_FIELDS, Frame, UserError
from pipelines.engine_choice import make_scoring
from pipelines.fit import FitJob, fit_frames, versions
from pipelines.gallery import Gallery
from pipelines.judge import Judge
from pipelines.report import write_report
from pipelines.subjects import Case, Subject, class_settings, find_subjects
from pipelines.summary import COLUMNS, print_summary, summarise, write_csv
from pipelines.terminal import progress

CLAIM, RESULT, SCORES, CURVES, GALLERY = "evaluation.json", "result.json", "scores.csv", "curves.json", "gallery"
NORMAL_PER_SOURCE, NORMAL = 8, 64  # frames to fit on whose maps give the thresholds of RBDC and TBDC


@dataclass(frozen=True, slots=True)
class EvaluateJob:
    """What is evaluated, and where its results go.

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
    subjects = find_subjects(job.data, job.root, job.classes)
    _claim(job, settings)
    results: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for subject in subjects:
        own = class_settings(job.data, subject.name, settings)
        try:
            results[subject.name] = [
                _one(subject, override(own, [f"fit.seed={settings.fit.seed + number}"]), job, console)
                for number in range(job.seeds)
            ]
        except (UserError, OSError, RuntimeError) as error:  # RuntimeError: out of memory on a GPU, for one
            failed[subject.name] = str(error)
            console.print(f"[red]{subject.name} failed:[/] {error}", highlight=False)
    said = set(failed)
    results = _with_earlier(job, settings, results, failed)
    for name in failed.keys() - said:
        console.print(f"[red]{name} failed:[/] {failed[name]}", highlight=False)
    summary = summarise(job.data, settings, results, failed) | {"frames": job.frames}
    if results:
        write_json(job.out / "results.json", summary)
        write_csv(job.out / "results.csv", summary)
        print_summary(console, summary)
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
    for subject in find_subjects(job.data, job.root):
        folders = [job.out / "classes" / f"{subject.name}-{settings.fit.seed + number}" for number in range(job.seeds)]
        if subject.name in results:
            everything[subject.name] = results[subject.name]
        elif subject.name not in failed and all((folder / RESULT).is_file() for folder in folders):
            try:
                everything[subject.name] = [read_json(folder / RESULT) for folder in folders]
            except UserError as error:  # of a class that was not asked for: it must not cost the others
                failed[subject.name] = str(error)
    return everything


def _one(subject: Subject, settings: Settings, job: EvaluateJob, console: Console) -> dict[str, Any]:
    """The result of one class and seed: read if it is there, else fitted, scored and measured."""
    name = f"{subject.name}-{settings.fit.seed}"
    folder = job.out / "classes" / name
    if (folder / RESULT).is_file():
        console.print(f"[bold]{subject.name}[/], seed {settings.fit.seed}: evaluated already")
        return read_json(folder / RESULT)
    console.print(f"[bold]{subject.name}[/], seed {settings.fit.seed}")
    scenes = job.out / "scenes"
    outcome = fit_frames(
        subject.fit_sources,
        f"reading {subject.name}",
        scenes / name,
        settings,
        FitJob(job.device, resume=True),
        console,
    )
    if outcome.state == "interrupted":
        console.print("the same command goes on from here")
        raise KeyboardInterrupt
    scene = Scene.load(scenes / name, choose_device(job.device))
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        result = measure(subject, scene, staging, job.frames, make_scoring(settings.engine))
        staging.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
        if not result["masks"]:
            console.print(f"{subject.name}: not every anomalous case has a mask, so there are no metrics of pixels")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return result


def measure(
    subject: Subject, scene: Scene, folder: Path, frames: Frames = "sampled", scoring: Scoring | None = None
) -> dict[str, Any]:
    """Scores the test cases of a subject and writes what was found into a folder."""
    settings, scoring = scene.settings, scoring or PlainScoring()
    thresholds = _thresholds(subject, scene, scoring) if subject.is_video else None
    labels = subject.all_labels if frames == "all" else None
    judge = Judge(subject.is_video, settings.score.smoothing, thresholds, labels)
    heat = scene.calibration.map_range if scene.calibration else (0.0, 1.0)
    gallery = Gallery(heat, settings.fit.seed)
    with progress() as bars:
        task = bars.add_task(f"scoring {subject.name}", total=None)
        for clip, cases in subject.test_clips(settings.input.size):
            for part in batched(cases, settings.score.batch):
                maps = frame_maps(scene, [case.frame for case in part], scoring)
                judge_batch(judge, gallery, scene, [(clip, case) for case in part], maps, depth(maps))
                bars.advance(task, len(part))
    result = {
        "name": subject.name,
        "video": subject.is_video,
        "seed": settings.fit.seed,
        "metrics": judge.metrics(),
        "cases": len(judge.scored),
        "anomalous": sum(one.anomalous for one in judge.scored),
        "masks": judge.has_masks,
        "frames": frames,
        "frames fitted": scene.record.get("frames"),
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
    }
    gallery.save(folder / GALLERY)
    curves = {name: {"x": curve.x.tolist(), "y": curve.y.tolist()} for name, curve in judge.curves().items()}
    write_json(folder / CURVES, curves)
    _write_scores(folder / SCORES, judge)
    write_json(folder / RESULT, result)
    return result


def frame_maps(scene: Scene, frames: Sequence[Frame], scoring: Scoring) -> Maps:
    """The maps of a batch of frames."""
    images = torch.stack([scene.prepare(frame.image) for frame in frames])  # B 3 H W
    return scoring.maps(scene, scoring.features(scene, images), scene.settings.score)


def judge_batch(
    judge: Judge, gallery: Gallery | None, scene: Scene, cases: Sequence[tuple[str, Case]], maps: Maps, deep: Tensor
) -> None:
    """Hands a batch of cases with their clips, scores and maps to the judge and to the gallery.

    `deep` (B H W) stands for the map `mul` where pixels are ranked: the two order them alike.
    """
    measures = scene.measure_maps(maps)
    values = {kind: getattr(measures, field).tolist() for kind, field in SCORE_FIELDS.items()}
    add, mul = maps.add.cpu().numpy(), deep.cpu().numpy()
    for i, (clip, case) in enumerate(cases):
        scores = {kind: series[i] for kind, series in values.items()}
        judge.add(clip, case, scores, add[i], mul[i])
        if gallery is not None:
            name = f"{clip}, frame {case.frame.index}" if judge.is_video else case.frame.source
            gallery.add(name, case, scores[scene.settings.score.kind], measures.map[i].float().numpy())


def _thresholds(subject: Subject, scene: Scene, scoring: Scoring) -> Any:
    """Map values that RBDC and TBDC are measured at, from maps of frames that were fitted."""
    counts = ValueCounts()
    for part in batched(islice(_some_normal(subject), NORMAL), scene.settings.score.batch):
        counts.add(halves(frame_maps(scene, part, scoring).add.cpu().numpy()))
    return counts.thresholds()


def _some_normal(subject: Subject) -> Iterator[Frame]:
    for source in subject.fit_sources():
        yield from islice(source, NORMAL_PER_SOURCE)


def _write_scores(path: Path, judge: Judge) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["clip", "index", "time", "kind", "anomalous", *SCORE_FIELDS])
        for one in judge.scored:
            scores = (f"{one.values[kind]:.7g}" for kind in SCORE_FIELDS)
            rows.writerow([one.clip, one.index, f"{one.time:.6f}", one.kind, int(one.anomalous), *scores])


def _folders(out: Path, results: dict[str, list[dict[str, Any]]]) -> dict[str, Path]:
    """Of every class, the folder of its first seed."""
    return {name: out / "classes" / f"{name}-{seeds[0]['seed']}" for name, seeds in results.items()}
