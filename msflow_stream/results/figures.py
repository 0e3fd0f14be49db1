"""Figures from results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msflow_stream.scenes.losses import Pass
from msflow_stream.types import ScoreRow

RAW, SMOOTHED, ALARM, LABEL = "#9db2c4", "#1f4e79", "#c0392b", "#f3c623"


def timeline(
    path: Path,
    title: str,
    rows: Sequence[ScoreRow],
    values: Sequence[float],
    kind: str,
    labelled: Sequence[tuple[float, float]] = (),
) -> None:
    """A picture of the score over time: raw, smoothed, threshold, alarms, and labelled spans where there are any.

    Args:
        path: of the PNG.
        title: above the picture.
        rows: of the whole source.
        values: the raw score that the smoothed one comes from.
        kind: its name.
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
    """A picture of the loss over the passes, of fitted and of held-out frames, and the learning rate below it."""
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
