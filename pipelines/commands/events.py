"""`events`: events that were found are listed, shown, exported, reported on, labelled and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ..terminal.consoles import summary_console
from .options import (
    SCENES,
    WATCHED,
    EventCamera,
    EventId,
    EventLabel,
    EventSeverity,
    EventSince,
    ListForm,
    Scenes,
    StoreUrl,
    WatchedOut,
    event_filter,
    events_store,
)

app = typer.Typer()
group = typer.Typer(
    help="Lists, shows, exports, reports on, labels and keeps events that were found.", no_args_is_help=True
)
app.add_typer(group, name="events")


@group.command("list", epilog="Example: msflow-stream events list --camera gate --since 24h --severity medium")
def list_events(
    camera: EventCamera = None,
    since: EventSince = None,
    severity: EventSeverity = None,
    label: EventLabel = None,
    limit: Annotated[int, typer.Option(min=1, help="Events at most, newest first.")] = 50,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
    form: ListForm = "table",
) -> None:
    """Lists events, newest first."""
    from ..events import list_events as run

    run(events_store(store, out), event_filter(camera, since, severity, limit, label), Console(), form)


@group.command("show")
def show_event(id: EventId, out: WatchedOut = WATCHED, store: StoreUrl = None, form: ListForm = "table") -> None:
    """Shows all that is known of an event, and where its clip and pictures are."""
    from ..events import show as run

    run(events_store(store, out), id, out, Console(), form)


@group.command(
    "export",
    epilog="Examples:\n\nmsflow-stream events export --format csv --since 7d > week.csv\n\n"
    "msflow-stream events export --format coco --to annotations.json",
)
def export_events(
    form: Annotated[Literal["csv", "json", "coco"], typer.Option("--format", help="Format of the export.")] = "csv",
    to: Annotated[Path | None, typer.Option("--to", help="File to write; standard output if not given.")] = None,
    camera: EventCamera = None,
    since: EventSince = None,
    severity: EventSeverity = None,
    label: EventLabel = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Events at most, newest first.")] = None,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Writes events as CSV, JSON, or COCO annotations of their snapshots."""
    from ..events import export as run

    which = event_filter(camera, since, severity, limit, label)
    run(events_store(store, out), which, form, to, out, summary_console(stderr=True))


@group.command(
    "report",
    epilog="Examples:\n\nmsflow-stream events report --shift 22:00-06:00 --to night.html --zip night.zip\n\n"
    "msflow-stream events report --week 2026-W48 --camera gate --to week.html",
)
def report_events(
    since: Annotated[str | None, typer.Option(help="Beginning: a date or time, or 2h or 7d ago.")] = None,
    until: Annotated[str | None, typer.Option(help="End, likewise; now if not given.")] = None,
    shift: Annotated[str | None, typer.Option(help="A shift such as 22:00-06:00, of --day or the last one.")] = None,
    day: Annotated[str | None, typer.Option(help="A day such as 2026-11-28, on which the shift begins.")] = None,
    week: Annotated[str | None, typer.Option(help="A week such as 2026-W48, from Monday to Sunday.")] = None,
    camera: Annotated[list[str] | None, typer.Option(help="This camera only; may be repeated.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="HTML file: a page to print, with its images.")] = None,
    zip: Annotated[
        Path | None, typer.Option("--zip", help="ZIP file: clips, snapshots, JSON and scores, with SHA-256 of each.")
    ] = None,
    out: WatchedOut = WATCHED,
    scenes: Scenes = SCENES,
    store: StoreUrl = None,
) -> None:
    """Reports on a shift, a week or any span: a page to print, and a zip of evidence."""
    from ..report import ReportJob, report

    job = ReportJob(
        store=events_store(store, out),
        out=out,
        scenes=scenes,
        since=since,
        until=until,
        shift=shift,
        day=day,
        week=week,
        cameras=tuple(camera or ()),
        page=to,
        zip=zip,
    )
    report(job, summary_console() if job.page or job.zip else Console())


@group.command("label", epilog="Example: msflow-stream events label gate-20261123T232138 normal --note 'a cat'")
def label_event(
    id: EventId,
    value: Annotated[
        Literal["violation", "normal", "unsure", "none"],
        typer.Argument(help="Label of what it was; none takes a label back."),
    ],
    note: Annotated[
        str | None, typer.Option(help="Text in words, instead of the one that the event has; '' takes it away.")
    ] = None,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Notes what an event really was."""
    from ..events import label as run

    run(events_store(store, out), id, None if value == "none" else value, note, summary_console())


@group.command("keep", epilog="Example: msflow-stream events keep gate-20261123T232138")
def keep_event(
    id: EventId,
    undo: Annotated[bool, typer.Option("--undo", help="Lets it go like others again.")] = False,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Keeps an event's clip and pictures, however old they are."""
    from ..events import keep as run

    run(events_store(store, out), id, not undo, out, summary_console())
