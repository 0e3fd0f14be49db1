from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from msflow_stream.config.settings import ScoreKind
from msflow_stream.evaluation.event_summary import COLUMNS, COUNTS, METRICS
from msflow_stream.evaluation.summary import COLUMNS
from msflow_stream.results.wording import _figure, _interval
from msflow_stream.scenes.tails.fitting import CONFIDENCE, TailFit
from msflow_stream.scenes.thresholds import Found
from pipelines.terminal.progress import number, table


def print_events(console: Console, summary: Mapping[str, Any]) -> None:
    """Prints a line per scene, and their sums and means."""
    events = summary["events"]
    if not events:
        return
    rows = [[name, *_row(values)] for name, values in events.items()]
    if len(rows) > 1:
        sums = {key: sum(values[key] for values in events.values()) for key in COUNTS}
        rows.append(["sum, mean", *_row({**sums, **{key: summary["mean"].get(f"event_{key}") for key in METRICS}})])
    caption = "precision: of the events, recall: of the labelled spans, those that overlap one of the others; "
    caption += "delay: from a span's start to the first message; "
    caption += next(iter(events.values()))["of"] if len(events) == 1 else "thresholds: in results.json, by scene"
    console.print(table("events", ["", *COLUMNS], rows, escape(caption)))


def _row(values: Mapping[str, Any]) -> list[str]:
    shares = (("precision", "right", "events"), ("recall", "spans_found", "spans"))
    return [
        *(f"{number(values[key])} ({values[part]:.4g}/{values[whole]:.4g})" for key, part, whole in shares),
        f"{values['hours']:.3g}",
        *(number(values[key], 1) for key in ("alarms_per_hour", "false_alarms_per_hour")),
        number(values["time_to_detection"], 2),
    ]


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """Prints the main metrics of every class, and their means beside what was published."""
    columns = [key for key in COLUMNS if key in summary["mean"]]
    rows = [
        [name, *(_with_spread(values.get(key), summary["spread over seeds"].get(name, {}).get(key)) for key in columns)]
        for name, values in summary["classes"].items()
    ]
    if len(rows) > 1:
        spread = summary["spread of the mean"]
        rows.append(["mean", *(_with_spread(summary["mean"][key], spread.get(key)) for key in columns)])
    seeds = len(summary["seeds"])
    caption = f"last pass of {summary['settings']['fit']['passes']}" + (f", mean of {seeds} seeds" if seeds > 1 else "")
    if any(key.startswith("frame_") for key in columns):
        counted = "sampled frames" if summary["frames"] == "sampled" else "all frames, each with its newest score"
        caption += f"; frame AUROC pooled over clips, {counted}"
    console.print(table(summary["data"], ["", *(COLUMNS[key] for key in columns)], rows, caption))
    if not summary["published"]:
        return
    sources = list(summary["published"])
    rows = [
        [COLUMNS[key], number(summary["mean"][key]), *(number(summary["published"][one].get(key)) for one in sources)]
        for key in columns
        if any(key in summary["published"][one] for one in sources)
    ]
    console.print(table("beside what was published (mean over classes)", ["", "ours", *sources], rows))


def _with_spread(value: float | None, spread: float | None) -> str:
    return number(value) if spread is None else f"{number(value)} ± {number(spread)}"


TAIL_FACTS = (
    "probability of a frame above",
    "u",
    "  frames above",
    "  excursions above",
    "  extremal index",
    "shape",
    "scale",
    "Anderson-Darling",
    "  p (bootstrap)",
)


def diagnostics(title: str, found: Mapping[ScoreKind, Found]) -> Table:
    """A column per kind of score."""
    columns = [_column(one) for one in found.values()]
    names = list(columns[0])
    rows = [[name, *(column[name] for column in columns)] for name in names]
    caption = (
        f"u: where the generalised Pareto tail begins; intervals at {CONFIDENCE:.0%}; scores smoothed as for alarms; "
        f"an excursion is one alarm"
    )
    return table(title, ["", *found], rows, caption)


def _column(found: Found) -> dict[str, str]:
    limit, fit, record = found.limit, found.fit, found.record
    facts = {
        "threshold": _figure(limit.threshold),
        "  its interval": _interval(limit.threshold_interval),
        "alarms per hour to expect": _figure(limit.rate),
        "  their interval": _interval(limit.rate_interval),
        "alarms in this footage": str(limit.counted),
        "scores": str(len(record.values)),
        "  not finite, left out": str(record.broken),
        "hours": _figure(record.hours),
    }
    return facts | (dict.fromkeys(TAIL_FACTS, "–") if fit is None else _tail(fit, limit.threshold))


def _tail(fit: TailFit, threshold: float) -> dict[str, str]:
    tail, more = fit.tail, fit.diagnostics
    values = (
        _figure(tail.probability(threshold)),
        _figure(tail.level),
        str(more.frames_above),
        str(tail.excursions),
        _figure(more.extremal_index),
        f"{tail.shape:.3f} ± {more.shape_error:.3f}",
        f"{tail.scale:.3g} ± {more.scale_error:.2g}",
        _figure(more.anderson_darling),
        f"{more.p_value:.3f}",
    )
    return dict(zip(TAIL_FACTS, values, strict=True))
