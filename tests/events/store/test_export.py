from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from PIL import Image

from msflow_stream.events.serialization import event_to_json, from_json
from msflow_stream.events.store import StoredEvent
from msflow_stream.events.store.export import to_coco, to_csv, to_full_json
from msflow_stream.types import UserError
from tests.support.events import REASON, WALL, event

SIZE = {"width": 320, "height": 200}
NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 1}


def objects(**properties: Any) -> dict[str, Any]:
    """A list of objects with at least these."""
    return {"type": "array", "items": {"type": "object", "required": [*properties], "properties": properties}}


# What COCO's own description of its format asks for: https://cocodataset.org/#format-data
COCO = {
    "type": "object",
    "required": ["info", "licenses", "images", "annotations", "categories"],
    "properties": {
        "images": objects(id=COUNT, width=COUNT, height=COUNT, file_name={"type": "string"}),
        "annotations": objects(
            id=COUNT,
            image_id=COUNT,
            category_id=COUNT,
            bbox={"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
            area=NUMBER,
            segmentation={"type": "array", "items": {"type": "array", "items": NUMBER, "minItems": 6}},
            iscrowd={"enum": [0, 1]},
        ),
        "categories": objects(id=COUNT, name={"type": "string"}, supercategory={"type": "string"}),
    },
}


@pytest.fixture
def events() -> list[StoredEvent]:
    """A closed one of a camera that has a comma in its name, one that is open, and one of a file, with a label."""
    closed = event("a,1", source='gate, "north"', end=2.5, end_wall=WALL, version=4, severity="high", why=REASON)
    of_file = event("c", source="clip", start_wall=None, probability=None, triggers=("surprise",), end=1.0)
    return [
        StoredEvent(closed, WALL, "violation", True, "a bicycle, again", "ann", WALL),
        StoredEvent(event("b", regions=()), WALL, None, False),
        StoredEvent(of_file, WALL, "normal", False),
    ]


@pytest.fixture
def watched(tmp_path: Path, events: list[StoredEvent]) -> Path:
    """What `watch` wrote: a snapshot of each event."""
    for stored in events:
        folder = tmp_path / stored.event.source / "events" / stored.event.id
        folder.mkdir(parents=True)
        Image.new("RGB", (SIZE["width"], SIZE["height"])).save(folder / "snapshot.jpg")
    return tmp_path


def index(coco: Mapping[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """The annotations of each image, after the checks that readers rely on: unique ids that refer to what is there."""
    for name in ("images", "annotations", "categories"):
        ids = [one["id"] for one in coco[name]]
        assert len(set(ids)) == len(ids)
    images = {one["id"]: one for one in coco["images"]}
    boxes: dict[int, list[dict[str, Any]]] = {id: [] for id in images}
    for one in coco["annotations"]:
        assert one["category_id"] in {category["id"] for category in coco["categories"]}
        boxes[one["image_id"]].append(one)
        x, y, width, height = one["bbox"]
        assert one["area"] == width * height
        assert 0 <= x <= x + width <= images[one["image_id"]]["width"]
        xs, ys = one["segmentation"][0][::2], one["segmentation"][0][1::2]
        assert (min(xs), min(ys), max(xs), max(ys)) == (x, y, x + width, y + height)
    return boxes


def test_csv_has_a_line_per_event_that_a_reader_gets_back(events: list[StoredEvent]) -> None:
    first, second, third = csv.DictReader(io.StringIO(to_csv(events)))
    assert first == {
        "id": "a,1",
        "source": 'gate, "north"',
        "scene": "yard",
        "happened": "2026-01-02T03:04:05.060000Z",
        "start_wall": "2026-01-02T03:04:05.060000Z",
        "end_wall": "2026-01-02T03:04:05.060000Z",
        "start": "0.2",
        "end": "2.5",
        "severity": "high",
        "triggers": "paper+surprise",
        "peak_score": "3.5",
        "peak_index": "10",
        "peak_time": "0.4",
        "probability": "0.001",
        "regions": "1 2 3 4;5 6 7 8",
        "version": "4",
        "label": "violation",
        "kept": "1",
        "why": REASON.text,
        "note": "a bicycle, again",
        "labelled_by": "ann",
        "labelled_at": "2026-01-02T03:04:05.060000Z",
    }
    assert (second["end"], second["label"], second["kept"], second["regions"], second["why"]) == ("", "", "0", "", "")
    assert (third["start_wall"], third["probability"]) == ("", "")


def test_json_is_a_list_of_messages_with_what_the_store_knows_beside_them(events: list[StoredEvent]) -> None:
    found = json.loads(to_full_json(events))
    assert [from_json(one).event for one in found] == [stored.event for stored in events]
    assert [one["kind"] for one in found] == ["close", "open", "close"]
    assert [(one["label"], one["kept"]) for one in found] == [("violation", True), (None, False), ("normal", False)]
    assert found[0]["event"] == event_to_json(events[0].event)
    assert found[0]["happened"] == "2026-01-02T03:04:05.060000Z"


def test_coco_has_the_snapshots_with_the_regions_as_boxes(events: list[StoredEvent], watched: Path) -> None:
    export = to_coco(events, watched)
    coco = json.loads(export.text)
    validate(coco, COCO)
    boxes = index(coco)
    assert export.left_out == 0
    for image, stored in zip(coco["images"], events, strict=True):
        assert (watched / image["file_name"]).is_file()
        assert {name: image[name] for name in SIZE} == SIZE
        assert image["event_id"] == stored.event.id
    assert [[one["bbox"] for one in boxes[image["id"]]] for image in coco["images"]] == [
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [],
        [],  # a person said that it is normal
    ]


def test_events_whose_snapshot_is_gone_are_left_out_of_coco(events: list[StoredEvent], watched: Path) -> None:
    (watched / "gate/events/b/snapshot.jpg").unlink()
    (watched / "clip/events/c/snapshot.jpg").write_bytes(b"\xff\xd8")  # cut off
    export = to_coco(events, watched)
    assert [image["event_id"] for image in json.loads(export.text)["images"]] == ["a,1"]
    assert export.left_out == 2


def test_coco_without_any_snapshot_says_what_is_wrong(events: list[StoredEvent], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the folder that `msflow-stream watch` writes"):
        to_coco(events, tmp_path / "elsewhere")


def test_no_events_make_valid_files_with_nothing_in_them(tmp_path: Path) -> None:
    assert list(csv.DictReader(io.StringIO(to_csv([])))) == []
    assert json.loads(to_full_json([])) == []
    coco = json.loads(to_coco([], tmp_path).text)
    validate(coco, COCO)
    assert index(coco) == {}
