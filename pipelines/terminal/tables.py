"""Tables of results: evaluations, events beside labels, calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from msflow_stream.evaluation.clip_truth import SMOOTHED, Evaluation
from msflow_stream.evaluation.event_quality import COUNTS, LONGEST, METRICS, ClipEvents, EventQuality
from msflow_stream.evaluation.metrics.events import GRACE, HOUR, Beside, EventCriteria, Span, side_by_side
from msflow_stream.evaluation.metrics.frames import LITERATURE, SIGMA
from msflow_stream.evaluation.summary import COLUMNS
from msflow_stream.results.wording import figure, interval, span
from msflow_stream.scenes.tails.fitting import CONFIDENCE, TailFit
from msflow_stream.scenes.thresholds import CalibratedKind
from msflow_stream.types import SCORE_KINDS, FoundEvent, ScoreKind

from .progress import clock, number, table

EVENT_COLUMNS = ("precision", "recall", "hours", "alarms/h", "false/h", "delay (s)")
TIME_COLUMNS = ("labels inside", "events outside", "further", "longest event", "longest label")
LABELLED_COLUMNS = ["clip", "labelled", "event", "told after", ""]
VERDICTS = {
    "found": "found",
    "missed": "missed",
    "covered": "missed: its event is another's",
    "further": "further event",
    "outside": "false alarm",
}

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


def print_events(console: Console, summary: Mapping[str, Any]) -> None:
    """Prints a line per scene, and their sums and means."""
    events = summary["events"]
    if not events:
        return
    lines = dict(events)
    if len(events) > 1:
        sums = {key: sum(values[key] for values in events.values()) for key in COUNTS}
        longest = {key: max(values[key] for values in events.values()) for key in LONGEST}
        means = {key: summary["mean"].get(f"event_{key}") for key in METRICS}
        lines["sum, mean"] = sums | longest | means
    caption = (
        "pairs of an event and a labelled span, one to one, are the share precision of the events and recall of the "
    )
    caption += "spans; false: over no span; delay: from a span's start to its event's first message; "
    caption += next(iter(events.values()))["of"] if len(events) == 1 else "thresholds: in results.json, by scene"
    rows = [[name, *_row(values)] for name, values in lines.items()]
    console.print(table("events", ["", *EVENT_COLUMNS], rows, escape(caption)))
    caption = (
        f"shares of the labelled time within events, and of the events' time {GRACE:g} s and more from all labels; "
    )
    caption += "further: events over a span that has another one; longest: seconds"
    rows = [[name, *_times_row(values)] for name, values in lines.items()]
    console.print(table("time of events", ["", *TIME_COLUMNS], rows, caption))


def _row(values: Mapping[str, Any]) -> list[str]:
    shares = (("precision", "events"), ("recall", "spans"))
    return [
        *(f"{number(values[key])} ({values['spans_found']:.4g}/{values[whole]:.4g})" for key, whole in shares),
        f"{values['hours']:.3g}",
        *(number(values[key], 1) for key in ("alarms_per_hour", "false_alarms_per_hour")),
        number(values["time_to_detection"], 2),
    ]


def _times_row(values: Mapping[str, Any]) -> list[str]:
    shares = [number(values[key]) for key in ("labels_covered", "time_outside")]
    return [*shares, f"{values['further']:.4g}", *(number(values[key], 1) for key in LONGEST)]


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
    _print_literature(console, summary)
    if not summary["published"]:
        return
    sources = list(summary["published"])
    rows = [
        [COLUMNS[key], number(summary["mean"][key]), *(number(summary["published"][one].get(key)) for one in sources)]
        for key in columns
        if any(key in summary["published"][one] for one in sources)
    ]
    console.print(table("beside what was published (mean over classes)", ["", "ours", *sources], rows))


def _print_literature(console: Console, summary: Mapping[str, Any]) -> None:
    """Prints the frame AUROC as most papers report it, under a name of its own."""
    keys = [key for key in summary["mean"] if key.startswith(LITERATURE)]
    if not keys:
        return
    means = [("mean", summary["mean"])] if len(summary["classes"]) > 1 else []
    rows = [
        [name, *(number(values.get(key)) for key in keys)] for name, values in [*summary["classes"].items(), *means]
    ]
    kinds = [key.removeprefix(f"{LITERATURE}_").replace("_", " ") for key in keys]
    console.print(table(LITERATURE, ["", *kinds], rows, _literature_wording(summary["literature"]["sigma_frames"])))


def _literature_wording(sigma: float) -> str:
    return (
        f"{LITERATURE}: as in papers, all frames, smoothed over time by a Gaussian (sigma {sigma:g} frames) that sees "
        "the future, each clip stretched to 0-1, pooled (micro)"
    )


def _with_spread(value: float | None, spread: float | None) -> str:
    return number(value) if spread is None else f"{number(value)} ± {number(spread)}"


def diagnostics(title: str, found: Mapping[ScoreKind, CalibratedKind]) -> Table:
    """A column per kind of score."""
    columns = [_column(one) for one in found.values()]
    names = list(columns[0])
    rows = [[name, *(column[name] for column in columns)] for name in names]
    caption = (
        f"u: where the generalised Pareto tail begins; intervals at {CONFIDENCE:.0%}; scores smoothed as for alarms; "
        f"an excursion is one alarm"
    )
    return table(title, ["", *found], rows, caption)


def _column(found: CalibratedKind) -> dict[str, str]:
    limit, fit, record = found.estimate, found.fit, found.record
    facts = {
        "threshold": figure(limit.threshold),
        "  its interval": interval(limit.threshold_interval),
        "alarms per hour to expect": figure(limit.rate),
        "  their interval": interval(limit.rate_interval),
        "alarms in this footage": str(limit.counted),
        "scores": str(len(record.values)),
        "  not finite, left out": str(record.broken),
        "hours": figure(record.hours),
    }
    return facts | (dict.fromkeys(TAIL_FACTS, "–") if fit is None else _tail(fit, limit.threshold))


def _tail(fit: TailFit, threshold: float) -> dict[str, str]:
    tail, more = fit.tail, fit.diagnostics
    values = (
        figure(tail.probability(threshold)),
        figure(tail.level),
        str(more.frames_above),
        str(tail.excursions),
        figure(more.extremal_index),
        f"{tail.shape:.3f} ± {more.shape_error:.3f}",
        f"{tail.scale:.3g} ± {more.scale_error:.2g}",
        figure(more.anderson_darling),
        f"{more.p_value:.3f}",
    )
    return dict(zip(TAIL_FACTS, values, strict=True))


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Prints AUROC for every clip and for all of them, raw and smoothed; then the events."""
    result = evaluation.result()
    rows = [
        row for clip, values in result["clips"].items() for row in _auroc_rows(clip, evaluation.counts(clip), values)
    ]
    rows += _auroc_rows("all, pooled", evaluation.counts(None), result["pooled"])
    if evaluation.labelled:
        literature = evaluation.literature()
        rows.append([LITERATURE, "", "", *(number(literature.get(kind)) for kind in SCORE_KINDS), ""])
    counted = "sampled frames" if evaluation.frames == "sampled" else "all frames, each with its newest score"
    columns = ["clip", "anomalous", "", *(kind.replace("_", " ") for kind in SCORE_KINDS), "pixel"]
    caption = f"over {counted}; smoothed: causal mean, {evaluation.smoothing:g} s; –: only one label occurs"
    if evaluation.labelled:
        caption += f"; {_literature_wording(SIGMA)}"
    console.print(table("frame-level and pixel-level AUROC", columns, rows, caption))
    if evaluation.labelled:
        print_event_quality(console, evaluation.events)


def _auroc_rows(title: str, counts: tuple[int, int] | None, values: Mapping[str, float | None]) -> list[list[str]]:
    raw = [number(values.get(kind)) for kind in SCORE_KINDS]
    smoothed = [number(values.get(kind + SMOOTHED)) for kind in SCORE_KINDS]
    anomalous = "–" if counts is None else f"{counts[1]} of {counts[0]}"
    return [[title, anomalous, "raw", *raw, number(values.get("pixel"))], ["", "", "smoothed", *smoothed, ""]]


def print_event_quality(console: Console, quality: EventQuality) -> None:
    """Prints the events of every clip beside its labelled spans, and how good they are."""
    lines = [line for clip in quality.clips for line in _clip_lines(clip)]
    quiet = sum(not clip.events and not clip.spans for clip in quality.clips)
    caption = "times in the clip, pairs one to one; told after: from the span's start to the event's first message"
    if quiet:
        caption += f"; {quiet} clip{'s' * (quiet > 1)} with neither left out"
    if lines:
        console.print(table("events beside labelled spans", LABELLED_COLUMNS, lines, caption))
    explained = f"{escape(quality.of)}; an event finds one span at most, and a span is found by one event at most"
    console.print(table("events", ["", "", "of"], _summary(quality.criteria), explained))


def _clip_lines(clip: ClipEvents) -> list[list[str]]:
    """Rows of the table: pairs, and what has no partner; the clip's name in the first of them."""
    lines = side_by_side(clip.events, clip.spans)
    return [["" if row else escape(clip.name), *_line(line)] for row, line in enumerate(lines)]


def _line(line: Beside) -> list[str]:
    span, event, verdict = line
    delay = "–" if span is None or event is None else f"{max(0.0, event.told - span[0]):.1f} s"
    return [_times(span), _times(event), delay, VERDICTS[verdict]]


def _times(one: Span | FoundEvent | None) -> str:
    return "–" if one is None else f"{clock(one[0])}–{clock(one[1])}"


def _summary(found: EventCriteria) -> list[list[str]]:
    events, footage = _count(found.events, "event"), span(found.seconds / HOUR)
    covered = _seconds(found.inside, found.labelled)
    astray = _seconds(found.astray, found.active)
    missed = found.spans - found.spans_found
    return [
        ["precision", number(found.precision), f"{found.spans_found} with a labelled span of {events}"],
        ["  further events in a span", str(found.further), "over a labelled span that has another event"],
        ["  events outside all labels", str(found.outside), "false alarms"],
        ["recall", number(found.recall), f"{found.spans_found} found of {_count(found.spans, 'labelled span')}"],
        ["labelled time inside events", number(found.labels_covered), covered],
        ["event time outside labels", number(found.time_outside), f"{astray}, beyond {GRACE:g} s around each span"],
        ["longest event", f"{found.longest_event:.1f} s", f"longest labelled span {found.longest_label:.1f} s"],
        ["alarms per hour", number(found.alarms_per_hour, 1), f"{events} in {footage}"],
        ["false alarms per hour", number(found.false_alarms_per_hour, 1), f"{found.outside} in {footage}"],
        ["time to detection", _delay(found), f"mean over {_count(found.spans_found, 'span')} found, {missed} missed"],
    ]


def _seconds(part: float, whole: float) -> str:
    return f"{part:.1f} of {whole:.1f} s"


def _delay(found: EventCriteria) -> str:
    return "–" if found.time_to_detection is None else f"{found.time_to_detection:.2f} s"


def _count(amount: int, what: str) -> str:
    return f"{amount} {what}{'s' * (amount != 1)}"
