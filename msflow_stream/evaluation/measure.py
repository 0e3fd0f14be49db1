"""One class or scene of `evaluate`: its test part is scored and measured, and what was found is written."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msflow_stream.evaluation.cases import EvaluationCase, EvaluationUnit
from msflow_stream.evaluation.collector import MetricsCollector
from msflow_stream.evaluation.event_summary import event_metrics, event_quality
from msflow_stream.evaluation.gallery import Gallery
from msflow_stream.evaluation.metrics.frames import Frames
from msflow_stream.evaluation.metrics.streaming import ValueCounts, halves
from msflow_stream.files import write_json
from msflow_stream.model.aggregate import Maps, depth
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.inference import Inference, PlainInference
from msflow_stream.series import batched
from msflow_stream.types import SCORE_FIELDS, Frame

RESULT, SCORES, CURVES, GALLERY = "result.json", "scores.csv", "curves.json", "gallery"
NORMAL_PER_SOURCE, NORMAL = 8, 64  # frames to fit on whose maps give the thresholds of RBDC and TBDC


def measure(
    subject: EvaluationUnit,
    scene: Scene,
    folder: Path,
    frames: Frames = "sampled",
    scoring: Inference | None = None,
    on_batch: Callable[[int], None] = lambda cases: None,
) -> dict[str, Any]:
    """Scores the test cases of a subject and writes what was found into a folder.

    `on_batch` hears how many cases were scored, batch by batch.
    """
    settings, scoring = scene.settings, scoring or PlainInference()
    thresholds = _thresholds(subject, scene, scoring) if subject.is_video else None
    labels = subject.all_labels if frames == "all" else None
    judge = MetricsCollector(subject.is_video, settings.score.smoothing, thresholds, labels)
    heat = scene.calibration.map_range if scene.calibration else (0.0, 1.0)
    gallery = Gallery(heat, settings.fit.seed)
    for clip, cases in subject.test_clips(settings.input.size):
        for part in batched(cases, settings.score.batch):
            maps = frame_maps(scene, [case.frame for case in part], scoring)
            collect_batch(judge, gallery, scene, [(clip, case) for case in part], maps, depth(maps))
            on_batch(len(part))
    events = event_quality(scene, judge.scored, labels) if subject.is_video else None
    result = {
        "name": subject.name,
        "video": subject.is_video,
        "seed": settings.fit.seed,
        "metrics": judge.metrics() | ({} if events is None else event_metrics(events.criteria)),
        "events": None if events is None else events.result(),
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


def frame_maps(scene: Scene, frames: Sequence[Frame], scoring: Inference) -> Maps:
    """The maps of a batch of frames."""
    images = torch.stack([scene.prepare(frame.image) for frame in frames])  # B 3 H W
    return scoring.maps(scene, scoring.features(scene, images), scene.settings.score)


def collect_batch(
    judge: MetricsCollector,
    gallery: Gallery | None,
    scene: Scene,
    cases: Sequence[tuple[str, EvaluationCase]],
    maps: Maps,
    deep: Tensor,
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


def _thresholds(subject: EvaluationUnit, scene: Scene, scoring: Inference) -> Any:
    """Map values that RBDC and TBDC are measured at, from maps of frames that were fitted."""
    counts = ValueCounts()
    for part in batched(islice(some_normal(subject), NORMAL), scene.settings.score.batch):
        counts.add(halves(frame_maps(scene, part, scoring).add.cpu().numpy()))
    return counts.thresholds()


def some_normal(subject: EvaluationUnit) -> Iterator[Frame]:
    """A few frames of each source that is fitted on."""
    for source in subject.fit_sources():
        yield from islice(source, NORMAL_PER_SOURCE)


def _write_scores(path: Path, judge: MetricsCollector) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["clip", "index", "time", "kind", "anomalous", *SCORE_FIELDS])
        for one in judge.scored:
            scores = (f"{one.values[kind]:.7g}" for kind in SCORE_FIELDS)
            rows.writerow([one.clip, one.index, f"{one.time:.6f}", one.kind, int(one.anomalous), *scores])
