"""The jobs of `events`: events in a store are listed, shown, exported, labelled and kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from msflow_stream.events.evidence.event_files import evidence_folder, mark_kept
from msflow_stream.events.evidence.event_folder import KEEP
from msflow_stream.events.store import UNCHANGED, EventFilter, EventStore, Label, StoredEvent
from msflow_stream.events.store.export import CSV_COLUMNS, to_coco, to_csv, to_full_json, to_values
from msflow_stream.files import replaced
from msflow_stream.logs import one_line
from msflow_stream.types import Box, Event, Track, UserError

from .terminal.consoles import trouble_console
from .terminal.listing import Form, print_facts, print_rows
from .terminal.progress import clock, number, table

Format = Literal["csv", "json", "coco"]
COLUMNS = ["camera", "start", "duration", "severity", "triggers", "peak", "probability", "label", "id", "why"]
LINE = 1000  # characters: longer than any row


def list_events(store_url: str, which: EventFilter, console: Console, form: Form = "table") -> None:
    """Prints events, newest first."""
    with _open(store_url) as store:
        found, name = store.find(which), store.name
    if form != "table":
        print_rows(console, form, CSV_COLUMNS, [to_values(stored) for stored in found])
        return
    if not found:
        console.print(f"no {'events' if which == EventFilter(limit=which.limit) else 'such events'} in {escape(name)}")
        return
    rows = [[_plain(cell) for cell in _cells(stored)] for stored in found]
    listed = table(_count(len(rows)), COLUMNS, rows)
    wanted = console.measure(listed, options=console.options.update(width=LINE)).maximum
    width, console.width = console.width, max(console.width, wanted)  # folded, neither times nor ids could be read
    console.print(listed)
    console.width = width


def show(store_url: str, id: str, folder: Path, console: Console, form: Form = "table") -> None:
    """Prints all that is known of an event, and its files in the folder that `watch` writes."""
    with _open(store_url) as store:
        stored = store.get(id)
    event = stored.event
    files = sorted(evidence_folder(folder, event).glob("*"))
    kept = stored.kept or any(path.name == KEEP for path in files)
    if form != "table":
        print_facts(console, form, {**to_values(stored), "kept": kept, "files": files})
        return
    rows = [*zip(COLUMNS, _cells(stored), strict=True), ("scene", event.scene), ("version", str(event.version))]
    rows.append(("of the source", f"{clock(event.start)} to {'now' if event.end is None else clock(event.end)}"))
    rows.append(("peak at", f"{clock(event.peak_time)}, frame {event.peak_index}"))
    if stored.labelled_at is not None:
        when = stored.labelled_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        rows.append(("labelled", f"by {stored.labelled_by} at {when}"))
    rows += [("note", line) for line in (stored.note or "").splitlines()]
    rows += [("region", _box(box)) for box in event.regions]
    rows += [(f"track {track.number}", _track(track)) for track in event.tracks]
    rows.append(("evidence", "is kept" if kept else "goes when it is old"))
    rows += [("file", str(path)) for path in files]
    console.print(table("event", ["", ""], [[name, _plain(value)] for name, value in rows]))


def export(store_url: str, which: EventFilter, form: Format, out: Path | None, folder: Path, console: Console) -> None:
    """Writes events to a file or, where `out` is None, to stdout.

    Args:
        folder: the folder that `watch` writes; COCO's images are there.
        console: the place for messages, so on stderr.

    Raises:
        UserError: there are no snapshots for COCO, or the file cannot be written.
    """
    with _open(store_url) as store:
        found = store.find(which)
    left_out = 0
    if form == "coco":
        coco = to_coco(found, folder)
        text, left_out = coco.text, coco.left_out
    else:
        text = to_csv(found) if form == "csv" else to_full_json(found)
    _write(text, out)
    if out is not None or not found:
        console.print(f"{_count(len(found) - left_out)} in {escape(str(out or 'the export'))}")
    if left_out:
        trouble_console(console).print(f"left out, as the snapshot is gone: {_count(left_out)}")


def label(store_url: str, id: str, value: Label | None, note: str | None, console: Console) -> None:
    """Notes what a person says of an event; None takes the label back, and leaves the note as it is."""
    with _open(store_url) as store:
        stored = store.label(id, value, note=UNCHANGED if note is None else note)
    said = "has no label now" if value is None else f"is labelled {value}"
    noted = f", with the note: {stored.note}" if note and stored.note else ""
    console.print(_plain(f"{stored.event.id} {said}{noted}"), highlight=False, soft_wrap=True)


def keep(store_url: str, id: str, kept: bool, folder: Path, console: Console) -> None:
    """Marks an event whose evidence is never to be removed, or takes the mark away.

    The mark is in the store and, so that it counts while the store is away, beside the evidence.
    """
    with _open(store_url) as store:
        stored = store.keep(id, kept)
    there = mark_kept(folder, stored.event, kept)
    said = "is kept" if kept else "is no longer kept: it goes when it is old"
    missing = "" if there else f"; there is no evidence of it in {folder}"
    console.print(_plain(f"{stored.event.id} {said}{missing}"), highlight=False, soft_wrap=True)


def _open(store_url: str) -> EventStore:
    store = EventStore(store_url)
    if store.file is not None and not store.file.is_file():
        raise UserError(
            f"no event store {store.name}: `msflow-stream watch` makes one, `score --store` too, "
            "or give another's address"
        )
    return store


def _write(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    try:
        with replaced(out) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None


def _cells(stored: StoredEvent) -> list[str]:
    """Returns a row of the table."""
    event = stored.event
    return [
        event.source,
        _start(stored),
        _duration(event),
        event.severity,
        "+".join(event.triggers),
        number(event.peak_score, 2),
        "–" if event.probability is None else f"{event.probability:.2g}",
        stored.label or "–",
        event.id,
        "–" if event.why is None else event.why.text,
    ]


def _start(stored: StoredEvent) -> str:
    """Returns when it began, by the clock of this machine; of a file, the time in it."""
    if stored.event.start_wall is None:
        return f"at {clock(stored.event.start)}"
    return stored.event.start_wall.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(event: Event) -> str:
    return "open" if event.end is None else f"{event.end - event.start:.1f} s"


def _track(track: Track) -> str:
    return " to ".join(f"{_box(box)} at {clock(time)}" for time, box in (track.path[0], track.path[-1]))


def _box(box: Box) -> str:
    return "x {} y {}, {} x {}".format(*box)


def _count(events: int) -> str:
    return "1 event" if events == 1 else f"{events or 'no'} events"


def _plain(text: str) -> str:
    """Returns foreign text without what rich or the terminal would take for a command."""
    return escape(one_line(text))
