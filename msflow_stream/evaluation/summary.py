"""The summary of an evaluation: means over seeds and classes, as a table, as CSV, and beside what was published."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

from msflow_stream.config.settings import Settings
from msflow_stream.datasets import DATASETS
from msflow_stream.evaluation.event_summary import summarise_events
from msflow_stream.results.run_folder import versions
from msflow_stream.types import SCORE_KINDS

COLUMNS = {
    **{f"image_auroc_{kind}": f"image AUROC {kind.replace('_', ' ')}" for kind in SCORE_KINDS},
    **{f"frame_auroc_micro_{kind}": f"frame AUROC {kind.replace('_', ' ')}" for kind in SCORE_KINDS},
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "rbdc": "RBDC",
    "tbdc": "TBDC",
}


def summarise(
    data: str, settings: Settings, results: dict[str, list[dict[str, Any]]], failed: dict[str, str]
) -> dict[str, Any]:
    """Returns the summary: per class the mean over seeds and its standard deviation, and the mean over classes."""
    dataset, classes, spread = DATASETS[data], {}, {}
    for name, seeds in results.items():
        metrics = {key: [seed["metrics"].get(key) for seed in seeds] for key in seeds[0]["metrics"]}
        classes[name] = {key: None if None in values else statistics.fmean(values) for key, values in metrics.items()}
        if len(seeds) > 1:
            spread[name] = {key: None if None in vs else statistics.stdev(vs) for key, vs in metrics.items()}
    keys = dict.fromkeys(key for values in classes.values() for key in values)
    known = {key: [value for v in classes.values() if (value := v.get(key)) is not None] for key in keys}
    return {
        "data": data,
        "classes": classes,
        "mean": {key: statistics.fmean(values) if values else None for key, values in known.items()},
        "spread over seeds": spread,
        "spread of the mean": _spread_of_mean(list(results.values()), list(known)),
        "seeds": [seed["seed"] for seed in next(iter(results.values()), [])],
        "counts": {
            name: {key: seeds[0][key] for key in ("frames fitted", "cases", "anomalous", "masks")}
            for name, seeds in results.items()
        },
        "events": summarise_events(results),
        "failed": failed,
        "published": {
            source: {key: value for key, value in values.items() if len(known.get(key, ())) == dataset.classes}
            for source, values in dataset.published.items()
            if len(classes) == dataset.classes
        },
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
    }


def _spread_of_mean(classes: list[list[dict[str, Any]]], keys: list[str]) -> dict[str, float | None]:
    """Standard deviation over seeds of the mean over classes."""
    if not classes or len(classes[0]) < 2:
        return {}
    result: dict[str, float | None] = {}
    for key in keys:
        means = [[one["metrics"].get(key) for one in seed] for seed in zip(*classes, strict=True)]
        known = [statistics.fmean(values) for values in means if None not in values]
        result[key] = statistics.stdev(known) if len(known) == len(means) else None
    return result


def write_csv(path: Path, summary: dict[str, Any]) -> None:
    """Writes all metrics, a line per class and one of their means."""
    keys = list(summary["mean"])
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["class", *keys])
        for name, values in [*summary["classes"].items(), ("mean", summary["mean"])]:
            rows.writerow([name, *("" if values.get(key) is None else f"{values[key]:.6f}" for key in keys)])
