"""Events of `score`: measured beside labels, kept with pictures, and stored once."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msflow_stream.evaluation.metrics.events import EventCriteria
from msflow_stream.evaluation.metrics.frames import LiteratureAuroc
from msflow_stream.events.evidence.event_folder import read_event
from msflow_stream.events.store import EventStore, StoredEvent
from msflow_stream.results.score_files import read_scores
from msflow_stream.series import labelled_spans
from msflow_stream.types import SCORE_KINDS, FoundEvent
from msflow_stream.video.reading.video_reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command, Outcome
from tests.support.rtsp import RtspCamera, need_server, write_units

EVIDENCE = {"event.json", "clip.mp4", "overlay.mp4", "snapshot.jpg", "snapshot_overlay.jpg"}


@pytest.fixture
def score(command: Command, workplace: Workplace, tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> Outcome:
        outcome = command(
            *("score", *arguments, "--scene", "gate", "--scenes", workplace.scenes, "--out", tmp_path / "run"),
            *("--set", "score.kind=paper"),
        )
        assert outcome.code == 0, outcome.err
        return outcome

    return run


def events(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "events.json").read_text())
    return found


def stored(database: Path) -> list[StoredEvent]:
    with EventStore(f"sqlite:///{database}") as store:
        return store.find()


def quality(out: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((out / "evaluation.json").read_text())["events"]
    return result


def test_events_are_counted_against_the_labelled_spans(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = score(workplace.clips, "--labels", workplace.clips / "labels", "--no-overlay")
    result = quality(tmp_path / "run")
    criteria = EventCriteria()
    for name in ("first", "second"):
        spans = labelled_spans(np.load(workplace.clips / "labels" / f"{name}.npy"), 25)
        mine = events(tmp_path / "run" / name)
        assert mine
        assert not (tmp_path / "run" / name / "events").exists(), "evidence follows the overlay"
        listed = [FoundEvent(**event) for event in result["clips"][name]["found"]]
        assert [(one.start, one.end) for one in listed] == [(event["start"], event["end"]) for event in mine]
        assert result["clips"][name]["labelled"] == [list(span) for span in spans]
        criteria.add(listed, spans, 3.0)
    assert criteria.spans_found > 0, "a cart is no walker"
    pooled = result["pooled"]
    assert pooled["hours"] == pytest.approx(6 / 3600)
    assert (pooled["events"], pooled["spans"]) == (criteria.events, 2)
    for name in ("spans_found", "further", "outside", "precision", "recall", "labels_covered", "time_outside"):
        assert pooled[name] == getattr(criteria, name), name
    for name in ("alarms_per_hour", "false_alarms_per_hour", "time_to_detection", "longest_event", "longest_label"):
        assert pooled[name] == pytest.approx(getattr(criteria, name)), name
    found = criteria.spans_found
    for said in (
        "scene gate: paper above",
        "highest held-out score",
        f"{found} with a labelled span of",
        f"{found} found of 2",
        "further events in a span",
        "labelled time inside events",
        "event time outside labels",
        "longest labelled span",
    ):
        assert said in outcome.out


def test_the_frame_auroc_of_papers_has_a_name_of_its_own_and_says_its_sigma(  # type: ignore[no-untyped-def]
    score, workplace: Workplace, tmp_path: Path
) -> None:
    outcome = score(workplace.clips, "--labels", workplace.clips / "labels", "--no-overlay")
    saved = json.loads((tmp_path / "run/evaluation.json").read_text())["frame_auroc_literature"]
    assert saved.pop("sigma_frames") == 3.0
    expected = LiteratureAuroc(3.0)
    for name in ("first", "second"):
        rows = read_scores(tmp_path / "run" / name)
        series: dict[str, list[float]] = {kind: [row.scores.of(kind) for row in rows] for kind in SCORE_KINDS}
        expected.add(np.load(workplace.clips / "labels" / f"{name}.npy"), [row.index for row in rows], series)
    assert saved == pytest.approx(expected.pooled(), abs=1e-4)
    said = " ".join(outcome.out.split())
    assert "frame_auroc_literature" in said
    assert "sigma 3 frames" in said


def test_an_event_is_told_after_its_least_duration(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    clip, labels = workplace.clips / "first.mp4", workplace.clips / "labels" / "first.npy"
    score(clip, "--labels", labels, "--no-overlay", "--set", "event.min_duration=0.6")
    found = quality(tmp_path / "run")["clips"]["first"]["found"]
    with (tmp_path / "run/first/scores.csv").open() as file:
        times = [float(row["time"]) for row in csv.DictReader(file)]
    for event in found:
        later = [time for time in times if time >= event["start"] + 0.6 - 1e-3]
        assert event["told"] == pytest.approx(later[0])


def test_of_a_clip_that_is_cut_short_only_what_was_scored_counts(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    labels = np.zeros(75, np.uint8)
    labels[10:20] = labels[45:60] = labels[70:] = 1
    np.save(tmp_path / "labels.npy", labels)
    score(workplace.clips / "first.mp4", "--labels", tmp_path / "labels.npy", "--no-overlay", "--max-frames", 50)
    result = quality(tmp_path / "run")
    assert result["clips"]["first"]["labelled"] == [[0.4, 0.8], [1.8, 2.0]]
    assert result["pooled"]["hours"] == pytest.approx(2 / 3600)


def test_masks_alone_say_nothing_of_events(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    score(workplace.clips / "first.mp4", "--masks", workplace.clips / "masks" / "first.npy", "--no-overlay")
    assert "events" not in json.loads((tmp_path / "run/evaluation.json").read_text())


def test_run_json_says_what_events_were_judged_by(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    score(workplace.clips / "first.mp4", "--no-overlay", "--set", "event.cool_down=2", "--set", "score.threshold=0.5")
    record = json.loads((tmp_path / "run/first/run.json").read_text())
    assert record["event"]["cool_down"] == 2
    assert record["triggers"]["paper"] == 0.5
    assert set(record["triggers"]) == {"paper", "surprise"}
    assert record["calibration"] is None
    assert record["events"] == len(events(tmp_path / "run/first"))


def test_every_event_has_a_clip_and_pictures(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    score(workplace.clips / "first.mp4")
    found = events(tmp_path / "run/first")
    folder = tmp_path / "run/first/events"
    assert {event["id"] for event in found} == {path.name for path in folder.iterdir()} != set()
    with VideoReader(workplace.clips / "first.mp4") as video:
        source = [frame.image for frame in video]
    for event in found:
        assert {path.name for path in (folder / event["id"]).iterdir()} == EVIDENCE
        message, evidence = read_event(folder / event["id"]) or pytest.fail("no event.json")
        assert (message.kind, message.event.end, evidence["notes"]) == ("close", event["end"], [])
        with VideoReader(folder / event["id"] / "clip.mp4") as video:
            pictures = [frame.image for frame in video]
        assert len(pictures) == 75  # 5 s before and after are more than there is
        assert all(np.array_equal(*pair) for pair in zip(pictures, source, strict=True)), "it was coded anew"
    assert json.loads((tmp_path / "run/first/run.json").read_text())["evidence_lost"] == {}


def test_evidence_follows_the_overlay_unless_it_is_asked_for(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    clip, folder = workplace.clips / "first.mp4", tmp_path / "run/first"
    for arguments, kept in [
        (("--no-overlay", "--evidence"), True),
        (("--no-evidence",), False),
    ]:
        score(clip, *arguments, "--overwrite")
        assert events(folder)
        assert (folder / "events").exists() == kept, arguments


def test_a_quiet_source_has_no_folder_of_events(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    score(workplace.clips / "first.mp4", "--set", "score.threshold=1e9", "--set", "event.triggers=[paper]")
    assert not (tmp_path / "run/first/events").exists()


def test_stored_events_are_listed_with_their_files_and_never_doubled(  # type: ignore[no-untyped-def]
    score, command: Command, workplace: Workplace, tmp_path: Path
) -> None:
    database = tmp_path / "run/events.db"
    score(workplace.clips / "first.mp4", "--store", database)
    once = stored(database)
    assert {one.event.id for one in once} == {event["id"] for event in events(tmp_path / "run/first")} != set()
    id = once[0].event.id
    assert command("events", "label", id, "violation", "--out", tmp_path / "run").code == 0
    elsewhere = tmp_path / "moved" / "first.mp4"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes((workplace.clips / "first.mp4").read_bytes())
    score(elsewhere, "--store", f"sqlite:///{database}", "--overwrite")
    again = stored(database)
    assert [(one.event, one.happened) for one in again] == [(one.event, one.happened) for one in once]
    assert {one.event.id: one.label for one in again}[id] == "violation"
    listed = command("events", "list", "--out", tmp_path / "run")
    assert id in listed.out
    shown = command("events", "show", id, "--out", tmp_path / "run")
    assert "clip.mp4" in shown.out.replace("\n", "")


def test_a_longer_run_completes_what_a_shorter_one_stored(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    database, clip = tmp_path / "events.db", workplace.clips / "first.mp4"
    sensitive = ("--no-overlay", "--overwrite", "--set", "score.threshold=-1000", "--set", "event.triggers=[paper]")
    for frames, end in ((50, 1.8), (75, 2.8)):
        score(clip, "--store", database, "--max-frames", frames, *sensitive)
        (event,) = [one.event for one in stored(database)]
        assert (event.start, event.end) == pytest.approx((0.0, end))


def test_files_of_one_name_are_told_apart(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    database = tmp_path / "events.db"
    score(workplace.clips / "first.mp4", "--store", database, "--no-overlay")
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "first.mp4"
    content = (workplace.clips / "first.mp4").read_bytes()
    other.write_bytes(content + b"\0\0\0\x08free")  # plays the same, and is another file
    score(other, "--store", database, "--no-overlay", "--overwrite")
    ids = {event["id"] for event in events(tmp_path / "run/first")}
    assert len(stored(database)) == 2 * len(ids)


def test_a_store_that_cannot_be_one_is_said_before_anything_is_scored(
    command: Command, workplace: Workplace, tmp_path: Path
) -> None:
    for wrong in ("mysql://guard:s3cret@host/events", tmp_path):
        outcome = command(
            *("score", workplace.clips / "first.mp4", "--scene", "gate", "--scenes", workplace.scenes),
            *("--out", tmp_path / "run", "--store", wrong),
        )
        assert (outcome.code, outcome.err.count("\n"), "s3cret" in outcome.err) == (2, 1, False), outcome.err
        assert not (tmp_path / "run").exists()


def test_a_camera_s_events_have_clips_of_scored_frames(score, workplace: Workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    need_server()
    with RtspCamera(write_units(workplace.clips / "first.mp4", tmp_path / "first.units")) as camera:
        score(camera.url, "--duration", 2.9, "--evidence", "--store", tmp_path / "events.db")
    (folder,) = (path for path in (tmp_path / "run").iterdir() if path.is_dir())
    found = events(folder)
    assert found
    assert {one.event.id for one in stored(tmp_path / "events.db")} == {event["id"] for event in found}
    for event in found:
        assert event["start_wall"]
        _, evidence = read_event(folder / "events" / event["id"]) or pytest.fail("no event.json")
        assert any("made of scored frames" in note for note in evidence["notes"])
        with VideoReader(folder / "events" / event["id"] / "clip.mp4") as video:
            assert sum(1 for _ in video) > 1
