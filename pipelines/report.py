"""`events report`: what happened in a shift, a week or any span, as a page to print and a zip of evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from msflow_stream.events.store import EventStore, parse_moment
from msflow_stream.results.wording import span as span_text
from msflow_stream.types import UserError
from msflow_stream.watch.reporting.bundle import write_zip
from msflow_stream.watch.reporting.page import write_page
from msflow_stream.watch.reporting.spans import Span, day_of, day_span, shift_span, span_of, week_span
from msflow_stream.watch.reporting.summary import Summary, summarize

from .terminal.consoles import trouble_console
from .terminal.progress import table

COLUMNS = ["camera", "watched", "events", "violation", "normal", "unsure", "not judged"]  # fits 80 columns
SHOWN = 10  # missing files that are named in the terminal; all are in the zip


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportJob:
    """The request to `events report`.

    Attributes:
        store: address of the database of events.
        out, scenes: the folder that the watch writes to, and that of the scenes.
        since, until, shift, day, week: the span, as a person writes it; at most one way of giving it.
        cameras: names; none: all.
        page, zip: the files to write; None: it is not.
    """

    store: str
    out: Path
    scenes: Path
    since: str | None = None
    until: str | None = None
    shift: str | None = None
    day: str | None = None
    week: str | None = None
    cameras: tuple[str, ...] = ()
    page: Path | None = None
    zip: Path | None = None


def report(job: ReportJob, console: Console) -> None:
    """Writes the files, and prints the figures.

    Raises:
        UserError: a span that is none, a camera that there is not, or a file that cannot be written.
    """
    span = chosen_span(job, datetime.now(UTC))
    with EventStore(job.store) as store:
        if store.file is not None and not store.file.is_file():
            raise UserError(f"no event store {store.name}: `msflow-stream watch` makes one, or give another's address")
        cameras = job.cameras or None
        summary = summarize(store, job.out, job.scenes, span, cameras=cameras, only=cameras)
    _check(job.cameras, summary, job.out)
    console.print(table(f"{span.name or 'report'}: {span.text}", COLUMNS, [list(row) for row in _rows(summary)]))
    if job.page is not None:
        write_page(summary, job.page)
        _say(console, f"page to print: {job.page}")
    if job.zip is not None:
        missing = write_zip(summary, job.out, job.zip)
        _say(console, f"evidence: {job.zip}; after unpacking, `sha256sum -c manifest.sha256` checks it")
        for line in missing[:SHOWN]:
            _say(trouble_console(console), f"missing: {line}")
        if len(missing) > SHOWN:
            _say(trouble_console(console), f"missing: {len(missing) - SHOWN} more, named in the zip's missing.txt")
    if job.page is None and job.zip is None:
        _say(console, "nothing is written: --to report.html gives a page to print, --zip evidence.zip the evidence")


def chosen_span(job: ReportJob, now: datetime) -> Span:
    """Returns the span that was asked for; the last 24 hours where none was.

    Raises:
        UserError: it is none, or it is given in two ways.
    """
    bounds = job.since is not None or job.until is not None
    if bounds + (job.week is not None) + (job.shift is not None or job.day is not None) > 1:
        raise UserError("give the span in one way: --since and --until, or --shift with --day, or --week")
    if job.week is not None:
        return week_span(job.week)
    if job.shift is not None:
        return shift_span(job.shift, None if job.day is None else day_of(job.day), now)
    if job.day is not None:
        return day_span(day_of(job.day))
    since = parse_moment(job.since or "24h", now)
    return span_of(since, now if job.until is None else parse_moment(job.until, now))


def _check(cameras: tuple[str, ...], summary: Summary, out: Path) -> None:
    there = {path.name for path in out.iterdir() if path.is_dir()} if out.is_dir() else set()
    for camera in summary.cameras:
        if camera.name in cameras and not camera.events and camera.name not in there:
            raise UserError(f"no camera {camera.name!r} in {out}, and no events of it in this span")


def _rows(summary: Summary) -> list[tuple[str, ...]]:
    rows = []
    for camera in summary.cameras:
        counts = (str(len(camera.events)), *(str(count) for _, count in camera.labels))
        watched = span_text(camera.hours) if camera.hours else "not at all"
        rows.append((escape(camera.name), watched, *counts))
    return rows


def _say(console: Console, text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
