"""The picture of `calibrate`: which threshold has how many alarms per hour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from msflow_stream.config.settings import ScoreKind
from msflow_stream.files import replaced
from msflow_stream.results.figures import ALARM, RAW, SMOOTHED
from msflow_stream.scenes.tails.fitting import BEYOND, CONFIDENCE, TailFit, supported_rate
from msflow_stream.scenes.thresholds import Found

POINTS = 60


def tail_plot(
    path: Path, title: str, found: Mapping[ScoreKind, Found], asked: float, random: np.random.Generator
) -> None:
    """Draws a panel per kind of score into a PNG: return levels, their interval, and the excursions of the footage."""
    figure = Figure(figsize=(4.6 * len(found), 4), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (kind, one) in zip(panels, found.items(), strict=True):
        if one.fit is None:
            axes.text(0.5, 0.5, "too little footage\nfor a tail", ha="center", transform=axes.transAxes)
            axes.set_axis_off()
        else:
            _draw(axes, one.fit, one, asked, random)
            axes.set(xlabel="alarms per hour", ylabel=f"threshold ({kind})", xscale="log")
            axes.invert_xaxis()
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(title, parse_math=False)
    with replaced(path) as partial:
        figure.savefig(partial, format="png")


def _draw(axes: Any, fit: TailFit, found: Found, asked: float, random: np.random.Generator) -> None:
    hours, limit = fit.tail.hours, found.limit
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
