"""The measurement of one class or scene: its test part is scored, and metrics, scores and telling cases are written."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.cases import EvaluationUnit
from msflow_stream.evaluation.collector import CaseScores, MetricsCollector
from msflow_stream.evaluation.event_quality import EventQuality, SceneEvents, event_metrics
from msflow_stream.evaluation.gallery import Gallery
from msflow_stream.evaluation.metrics.frames import LITERATURE, SIGMA, Frames, LiteratureAuroc
from msflow_stream.evaluation.metrics.streaming import ValueCounts, halves
from msflow_stream.files import write_json
from msflow_stream.results.run_folder import versions
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.series import batched
from msflow_stream.types import SCORE_KINDS, Frame, UserError

Labels = Callable[[str], npt.ArrayLike]  # a clip's name to the labels of all its frames

RESULT, SCORES, CURVES, GALLERY = "result.json", "scores.csv", "curves.json", "gallery"
NORMAL_PER_SOURCE, NORMAL = 8, 64  # frames to fit on whose maps give the thresholds of RBDC and TBDC


def measure(
    unit: EvaluationUnit,
    scorer: Scorer,
    folder: Path,
    frames: Frames = "sampled",
    on_batch: Callable[[int], None] = lambda cases: None,
) -> dict[str, Any]:
    """Scores the test cases of a class or scene, writes the results into a folder, and returns them.

    Args:
        unit: the class or scene.
        scorer: scores with the scene that was fitted for it.
        folder: gets result.json, scores.csv, curves.json and the gallery.
        frames: which count for the frame-level AUROC of video.
        on_batch: called with the number of cases in each batch that was scored.
    """
    scene = scorer.scene
    settings = scene.settings
    thresholds = _thresholds(unit, scorer) if unit.is_video else None
    labels = unit.all_labels if frames == "all" else None
    collector = MetricsCollector(unit.is_video, settings.score.smoothing, thresholds, labels)
    events = SceneEvents(scene) if unit.is_video else None
    heat = scene.calibration.map_range if scene.calibration else (0.0, 1.0)
    gallery = Gallery(heat, settings.fit.seed)
    for clip, cases in unit.test_clips(settings.input.size):
        for part in batched(cases, settings.score.batch):
            for case, scored in zip(part, scorer.score_with_maps([case.frame for case in part]), strict=True):
                collector.add(clip, case, scored)
                if events is not None:
                    events.add(clip, case.frame, scored.score)
                name = f"{clip}, frame {case.frame.index}" if unit.is_video else case.frame.source
                gallery.add(name, case, scored.score.scores.of(settings.score.kind), scored.score.map)
            on_batch(len(part))
    quality = None if events is None else events.quality(collector.scored, labels)
    result = _result(unit, scene, collector, frames, quality)
    gallery.save(folder / GALLERY)
    curves = {name: {"x": curve.x.tolist(), "y": curve.y.tolist()} for name, curve in collector.curves().items()}
    write_json(folder / CURVES, curves)
    _write_scores(folder / SCORES, collector)
    write_json(folder / RESULT, result)
    return result


def _result(
    unit: EvaluationUnit, scene: Scene, collector: MetricsCollector, frames: Frames, events: EventQuality | None
) -> dict[str, Any]:
    metrics = collector.metrics()
    if events is not None:
        metrics |= _literature(unit, collector.scored) | event_metrics(events.criteria)
    return {
        "name": unit.name,
        "video": unit.is_video,
        "seed": scene.settings.fit.seed,
        "metrics": metrics,
        "events": None if events is None else events.result(),
        "cases": len(collector.scored),
        "anomalous": sum(one.anomalous for one in collector.scored),
        "masks": collector.has_masks,
        "frames": frames,
        "literature": {"sigma_frames": SIGMA},
        "frames fitted": scene.record.get("frames"),
        "settings": scene.settings.model_dump(mode="json"),
        "versions": versions(),
    }


def _literature(unit: EvaluationUnit, scored: Sequence[CaseScores]) -> dict[str, float | None]:
    """Frame AUROC as most papers report it, by kind of score; nothing where only sampled frames have labels."""
    found = LiteratureAuroc()
    for clip, group in groupby(scored, key=lambda one: one.clip):
        part = list(group)
        try:
            labels = unit.all_labels(clip)
        except UserError:
            return {}
        series: dict[str, list[float]] = {kind: [one.scores.of(kind) for one in part] for kind in SCORE_KINDS}
        found.add(labels, [one.index for one in part], series)
    return {f"{LITERATURE}_{kind}": value for kind, value in found.pooled().items()}


def _thresholds(unit: EvaluationUnit, scorer: Scorer) -> npt.NDArray[np.float16]:
    """Map values that RBDC and TBDC are measured at, from maps of frames that were fitted."""
    counts = ValueCounts()
    for part in batched(islice(some_normal(unit), NORMAL), scorer.settings.batch):
        for scored in scorer.score_with_maps(part):
            counts.add(halves(scored.add))
    return counts.thresholds()


def some_normal(unit: EvaluationUnit) -> Iterator[Frame]:
    """Yields a few frames of each source that is fitted on."""
    for source in unit.fit_sources():
        yield from islice(source, NORMAL_PER_SOURCE)


def _write_scores(path: Path, collector: MetricsCollector) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["clip", "index", "time", "kind", "anomalous", *SCORE_KINDS])
        for one in collector.scored:
            scores = (f"{value:.7g}" for value in one.scores)
            rows.writerow([one.clip, one.index, f"{one.time:.6f}", one.kind, int(one.anomalous), *scores])
