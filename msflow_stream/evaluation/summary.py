"""The summary of an evaluation: means over seeds and classes beside published ones, as CSV and as report.html."""

from __future__ import annotations

import base64
import csv
import io
import json
import statistics
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from matplotlib.figure import Figure

from msflow_stream.config.settings import Settings
from msflow_stream.datasets import DATASETS
from msflow_stream.evaluation.event_quality import summarise_events
from msflow_stream.evaluation.gallery import GROUPS
from msflow_stream.evaluation.metrics.frames import LITERATURE, SIGMA
from msflow_stream.files import replaced
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

NORMAL, ANOMALOUS = "#1f4e79", "#c0392b"
COLOURS = ("#1f4e79", "#c0392b", "#e08e0b", "#2e8b57", "#7d3c98")
LINES = {"images": "-", "frames": "-", "pixels": "--", "PRO": ":"}
BINS = 40


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
        "literature": {"sigma_frames": SIGMA},
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


def write_report(path: Path, summary: dict[str, Any], folders: dict[str, Path], main: Sequence[str]) -> None:
    """Writes the report.

    Args:
        path: the HTML file.
        summary: the content of results.json.
        folders: the folder of every class, with its curves, scores and gallery.
        main: the metrics that are shown first.
    """
    environment = Environment(autoescape=True)
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["score"] = lambda value: f"{value:.5g}"
    template = files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    keys = list(summary["mean"])
    sections = [
        {
            "name": name,
            "counts": summary["counts"][name],
            "plots": _embedded(_plots(folder, summary["settings"]["score"]["kind"]), "png"),
            "gallery": _gallery(folder / "gallery"),
        }
        for name, folder in folders.items()
    ]
    literature = [key for key in keys if key.startswith(LITERATURE)]
    shown = {"summary": summary, "main": main, "keys": keys, "literature": literature, "sections": sections}
    text = environment.from_string(template).render(shown)
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _plots(folder: Path, kind: str) -> bytes:
    """ROC and PRO curves beside the histogram of the scores, as PNG."""
    curves = json.loads((folder / "curves.json").read_text(encoding="utf-8"))
    figure = Figure(figsize=(11, 3.6), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        style = LINES.get(name.split(",")[0], "-")
        left.plot(curve["x"], curve["y"], color=colour, ls=style, label=name)
    left.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.7)
    left.set(xlabel="false positive rate", ylabel="true positive rate, overlap", xlim=(0, 1), ylim=(0, 1.01))
    if curves:
        left.legend(frameon=False, fontsize=8, loc="lower right")
    with (folder / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = [[float(row[kind]) for row in rows if int(row["anomalous"]) == flag] for flag in (0, 1)]
    look = {"color": [NORMAL, ANOMALOUS], "label": ["normal", "anomalous"], "histtype": "stepfilled", "alpha": 0.6}
    right.hist(groups, BINS, density=True, **look)
    right.set(xlabel=f"score ({kind})", ylabel="density")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _gallery(folder: Path) -> list[dict[str, Any]]:
    """The groups of pictures, embedded; empty groups are left out."""
    pictures = json.loads((folder / "gallery.json").read_text(encoding="utf-8"))
    for picture in pictures:
        picture["source"] = _embedded((folder / picture["file"]).read_bytes(), "jpeg")
    groups = [
        {"title": title, "pictures": [picture for picture in pictures if picture["group"] == group]}
        for group, title in GROUPS.items()
    ]
    return [group for group in groups if group["pictures"]]


def _embedded(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
