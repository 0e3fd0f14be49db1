"""`events`: events that were found are listed, shown, exported, labelled and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from .options import (
    WATCHED,
    EventCamera,
    EventId,
    EventSeverity,
    EventSince,
    StoreUrl,
    WatchedOut,
    event_filter,
    events_store,
)

app = typer.Typer()
group = typer.Typer(help="Lists, shows, exports, labels and keeps events that were found.", no_args_is_help=True)
app.add_typer(group, name="events")


@group.command("list", epilog="Example: msflow-stream events list --camera gate --since 24h --severity medium")
def list_events(
    camera: EventCamera = None,
    since: EventSince = None,
    severity: EventSeverity = None,
    limit: Annotated[int, typer.Option(min=1, help="Events at most, newest first.")] = 50,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Lists events, newest first."""
    from ..events import list_events as run

    run(events_store(store, out), event_filter(camera, since, severity, limit), Console())


@group.command("show")
def show_event(id: EventId, out: WatchedOut = WATCHED, store: StoreUrl = None) -> None:
    """Shows all that is known of an event, and where its clip and pictures are."""
    from ..events import show as run

    run(events_store(store, out), id, out, Console())


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
    limit: Annotated[int | None, typer.Option(min=1, help="Events at most, newest first.")] = None,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Writes events as CSV, JSON, or COCO annotations of their snapshots."""
    from ..events import export as run

    run(events_store(store, out), event_filter(camera, since, severity, limit), form, to, out, Console(stderr=True))


@group.command("label", epilog="Example: msflow-stream events label gate-20261123T232138 normal")
def label_event(
    id: EventId,
    value: Annotated[
        Literal["normal", "violation", "none"], typer.Argument(help="Label of what it was; none takes a label back.")
    ],
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Notes what an event really was."""
    from ..events import label as run

    run(events_store(store, out), id, None if value == "none" else value, Console())


@group.command("keep", epilog="Example: msflow-stream events keep gate-20261123T232138")
def keep_event(
    id: EventId,
    undo: Annotated[bool, typer.Option("--undo", help="Lets it go like others again.")] = False,
    out: WatchedOut = WATCHED,
    store: StoreUrl = None,
) -> None:
    """Keeps an event's clip and pictures, however old they are."""
    from ..events import keep as run

    run(events_store(store, out), id, not undo, out, Console())
