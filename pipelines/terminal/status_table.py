"""The table in the terminal that shows how every camera is doing."""

from __future__ import annotations

from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from msflow_stream.health.columns import COLUMNS, NARROW, WIDE, View
from msflow_stream.health.words import size_text, span
from msflow_stream.logs import one_line
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import WatchReport
from pipelines.terminal.trend import Trend


class StatusTable:
    """Draws one report after the other, with what only several can say: rates, and how long a state lasts.

    >>> table = StatusTable()  # doctest: +SKIP
    >>> live.update(table.draw(report(), datetime.now(UTC), console.width))  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._trend = Trend()

    def draw(self, report: WatchReport, now: datetime, width: int = NARROW) -> Table:
        """The table of the next report; `width` in columns of the terminal."""
        self._trend.add(report, now)
        return status_table(report, now, width, self._trend)


def status_table(report: WatchReport, now: datetime, width: int = NARROW, trend: Trend | None = None) -> Table:
    """A row per camera, one line each, and the process below; without a trend, no rates and no spans of states."""
    if trend is None:
        trend = Trend()
        trend.add(report, now)
    view = View(now, width, trend)
    columns = [column for column in COLUMNS if width >= column.from_width]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if width >= WIDE else 0, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        # A column may be cut where it is allowed to wrap; its cells are texts that never do.
        table.add_column(column.title, justify=column.side, no_wrap=not column.soft, overflow="ellipsis")
    for camera in report.cameras:
        table.add_row(*(column.cell(camera, view) for column in columns))
    table.caption, table.caption_justify = _footer(report, now, trend), "left"
    return table


def _footer(report: WatchReport, now: datetime, trend: Trend) -> Text:
    running = sum(camera.status.state is State.RUNNING for camera in report.cameras)
    batch, scoring = trend.batch_mean(), trend.scoring_median()
    device = one_line(report.device)
    parts = [
        f"{running} of {len(report.cameras)} running",
        "no batch" if batch is None else f"batch {batch:.1f}",
        "" if scoring is None else f"scoring p50 {scoring * 1000:.0f} ms",
        f"up {span((now - report.started).total_seconds())}",
        device if report.device_bytes is None else f"{device} {size_text(report.device_bytes)}",
    ]
    return Text(" · ".join(part for part in parts if part), style="dim", no_wrap=True, overflow="ellipsis")
