"""Exports of events for other programs: as a table, as JSON, and as images with boxes in COCO's format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from msflow_stream.events.serialization import event_to_json, to_json
from msflow_stream.events.store.tables import StoredEvent
from msflow_stream.types import Box, Event, EventMessage, UserError

CSV_COLUMNS = (
    *("id", "source", "scene", "happened", "start_wall", "end_wall", "start", "end", "severity", "triggers"),
    *("peak_score", "peak_index", "peak_time", "probability", "regions", "version", "label", "kept"),
    *("why", "note", "labelled_by", "labelled_at"),
)
VIOLATION = {"id": 1, "name": "violation", "supercategory": ""}


def to_csv(events: Sequence[StoredEvent]) -> str:
    """Returns a line per event.

    Times are in UTC or in seconds, triggers joined by +, `regions` are x y w h joined by ;, `why` is in words.
    """
    text = io.StringIO()
    rows = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for stored in events:
        regions = ";".join(" ".join(map(str, box)) for box in stored.event.regions)
        texts = {"triggers": "+".join(stored.event.triggers), "regions": regions, "kept": int(stored.kept)}
        rows.writerow({**to_values(stored), **texts})
    return text.getvalue()


def to_values(stored: StoredEvent) -> dict[str, Any]:
    """Returns all that is known of an event by name, what `CSV_COLUMNS` names and `tracks` and `reason` besides.

    Values are as in JSON; `why` is in words, and `reason` is what the words are made from.
    """
    event = event_to_json(stored.event)
    reason = event["why"]
    return {**event, **_said(stored), "why": reason and reason["text"], "reason": reason}


def to_full_json(events: Sequence[StoredEvent]) -> str:
    """Returns a list of messages, as `serialization.from_json` reads them, each with what StoredEvent adds."""
    return json.dumps([_full(stored) for stored in events], indent=2) + "\n"


def _full(stored: StoredEvent) -> dict[str, Any]:
    message = EventMessage("open" if stored.event.end is None else "close", stored.event)
    return {**to_json(message), **_said(stored)}


def _said(stored: StoredEvent) -> dict[str, Any]:
    """What the store adds to an event."""
    said = {"label": stored.label, "kept": stored.kept, "note": stored.note, "labelled_by": stored.labelled_by}
    return {**said, "happened": _utc(stored.happened), "labelled_at": _utc(stored.labelled_at)}


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class CocoExport:
    """An export in COCO's format.

    Attributes:
        text: the JSON.
        left_out: the number of events that are not in it, as they have no snapshot.
    """

    text: str
    left_out: int


def to_coco(events: Sequence[StoredEvent], folder: Path) -> CocoExport:
    """Returns the snapshot at each event's peak, with its regions as boxes; what was labelled normal has none.

    Args:
        folder: the folder that `watch` writes; the names of the images are relative to it.

    Raises:
        UserError: there are events, but no snapshots.
    """
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for stored in events:
        image = _image(len(images) + 1, stored, folder)
        if image is not None:
            images.append(image)
            regions = () if stored.label == "normal" else stored.event.regions
            boxes += _boxes(image["id"], len(boxes) + 1, regions)
    if events and not images:
        raise UserError(f"no snapshots of these events in {folder}: give the folder that `msflow-stream watch` writes")
    info = {"description": "events of msflow-stream", "date_created": datetime.now(UTC).isoformat(timespec="seconds")}
    coco = {"info": info, "licenses": [], "images": images, "annotations": boxes, "categories": [VIOLATION]}
    return CocoExport(json.dumps(coco, indent=2) + "\n", len(events) - len(images))


def snapshot(event: Event) -> Path:
    """Returns the path of the image at the peak, in the folder that `watch` writes."""
    return Path(event.source, "events", event.id, "snapshot.jpg")


def _image(number: int, stored: StoredEvent, folder: Path) -> dict[str, Any] | None:
    name, event = snapshot(stored.event), stored.event
    try:
        with Image.open(folder / name) as image:
            width, height = image.size
    except OSError:  # retention removed it, or it is cut off
        return None
    about = {"event_id": event.id, "triggers": list(event.triggers), "label": stored.label}
    captured = stored.happened.isoformat(timespec="seconds")
    size = {"width": width, "height": height}
    return {"id": number, "file_name": name.as_posix(), **size, "date_captured": captured, **about}


def _boxes(image: int, number: int, regions: Sequence[Box]) -> Iterator[dict[str, Any]]:
    """Yields the annotations of an image, numbered from `number` on."""
    for one, (x, y, width, height) in enumerate(regions, start=number):
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        yield {
            "id": one,
            "image_id": image,
            "category_id": VIOLATION["id"],
            "bbox": [x, y, width, height],
            "area": width * height,
            "segmentation": [corners],
            "iscrowd": 0,
        }
