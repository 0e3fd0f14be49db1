"""The figures of results, as PNG: score over time, loss over passes, tails of normal scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msflow_stream.files import replaced
from msflow_stream.scenes.losses import Pass
from msflow_stream.scenes.tails.fitting import BEYOND, CONFIDENCE, TailFit, supported_rate
from msflow_stream.scenes.thresholds import CalibratedKind
from msflow_stream.types import ScoreKind, ScoreRow

RAW, SMOOTHED, ALARM, LABEL = "#9db2c4", "#1f4e79", "#c0392b", "#f3c623"
POINTS = 60  # of a curve of return levels


def timeline(
    path: Path,
    title: str,
    rows: Sequence[ScoreRow],
    values: Sequence[float],
    kind: str,
    labelled: Sequence[tuple[float, float]] = (),
) -> None:
    """Draws the score over time: raw, smoothed, threshold, alarms, and labelled spans where there are any.

    Args:
        path: the PNG.
        title: the text above the plot.
        rows: all rows of the source.
        values: the raw score that the smoothed one comes from.
        kind: the name of that score.
        labelled: spans (start, end) in seconds that are labelled anomalous.
    """
    figure = Figure(figsize=(12, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    times = np.array([row.time for row in rows])
    smoothed = np.array([row.smoothed for row in rows])
    threshold = rows[-1].threshold
    for number, (start, end) in enumerate(labelled):
        axes.axvspan(start, end, color=LABEL, alpha=0.3, lw=0, label="labelled violation" if number == 0 else None)
    axes.plot(times, values, color=RAW, lw=0.9, label=f"score ({kind})")
    marker = "o" if len(rows) == 1 else None  # a line of one point is invisible
    axes.plot(times, smoothed, color=SMOOTHED, lw=1.6, marker=marker, label="smoothed")
    if np.isfinite(threshold):
        axes.axhline(threshold, color=ALARM, lw=1, ls="--", label="threshold")
        axes.fill_between(times, threshold, smoothed, where=smoothed > threshold, color=ALARM, alpha=0.35, lw=0)
    axes.set_title(title, parse_math=False)  # a file's name may hold dollar signs
    axes.set(xlabel="time (s)", ylabel="score")
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    figure.savefig(path)


def loss_plot(path: Path, title: str, passes: Sequence[Pass]) -> None:
    """Draws the loss over the passes, of fitted and of held-out frames, and the learning rate below it."""
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    numbers = [one.number for one in passes]
    upper.plot(numbers, [one.loss for one in passes], color=SMOOTHED, marker=".", label="fitted frames")
    if passes[-1].held_out_loss is not None:
        upper.plot(numbers, [one.held_out_loss for one in passes], color=ALARM, marker=".", label="held-out frames")
    upper.set_title(title, parse_math=False)
    upper.set(ylabel="loss per feature value")
    upper.legend(frameon=False)
    lower.step(numbers, [one.learning_rate for one in passes], where="mid", color=RAW)
    lower.set(xlabel="pass", ylabel="learning rate", ylim=(0, None))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def tail_plot(
    path: Path, title: str, found: Mapping[ScoreKind, CalibratedKind], asked: float, random: np.random.Generator
) -> None:
    """Draws a panel per kind of score: return levels, their interval, and the excursions of the footage."""
    figure = Figure(figsize=(4.6 * len(found), 4), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (kind, one) in zip(panels, found.items(), strict=True):
        if one.fit is None:
            axes.text(0.5, 0.5, "too little footage\nfor a tail", ha="center", transform=axes.transAxes)
            axes.set_axis_off()
        else:
            _draw_tail(axes, one.fit, one, asked, random)
            axes.set(xlabel="alarms per hour", ylabel=f"threshold ({kind})", xscale="log")
            axes.invert_xaxis()
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(title, parse_math=False)
    with replaced(path) as partial:
        figure.savefig(partial, format="png")


def _draw_tail(axes: Any, fit: TailFit, found: CalibratedKind, asked: float, random: np.random.Generator) -> None:
    hours, limit = fit.tail.hours, found.estimate
    supported = supported_rate(hours)
    most = fit.tail.excursions / hours
    rates = np.geomspace(most, min(supported, asked, most / 2), POINTS)
    low, high = fit.interval(rates, random)
    axes.fill_between(rates, low, high, color=RAW, alpha=0.4, lw=0, label=f"{CONFIDENCE:.0%} interval")
    axes.plot(rates, [fit.tail.threshold(rate) for rate in rates], color=SMOOTHED, label="to expect")
    counted = (np.arange(len(fit.peaks)) + 1) / hours
    axes.plot(counted, np.sort(fit.peaks)[::-1], ".", color="black", ms=4, label="excursions of the footage")
    if asked < supported:
        axes.axvspan(supported, rates[-1], color=ALARM, alpha=0.08, lw=0, label=f"beyond {BEYOND} times the footage")
    axes.plot([limit.rate], [limit.threshold], "o", color=ALARM, label=f"threshold {limit.threshold:.4g}")
