"""The same clip as a file that is scored, as a file in place of a camera and over RTSP has the same events."""

from __future__ import annotations

import json
from itertools import cycle, islice
from pathlib import Path

import pytest

from msflow_stream.events.serialization import event_from_json
from msflow_stream.events.store import EventStore
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.types import Box, Event
from msflow_stream.video.reading.video_reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.stage import struck
from tests.support.videos import write_video
from tests.support.watching import SOON, Watching, until

WRONG = (range(50, 90), range(140, 165))  # of the clip's frames, at 25 a second
LENGTH = 225
STEP = 0.2  # seconds from sampled frame to sampled frame


@pytest.fixture
def clip(workplace: Workplace, tmp_path: Path) -> Path:
    """Two events, of 1.6 and 1 s."""
    with VideoReader(workplace.folder / "normal.mp4") as reader:
        images = list(islice(cycle([frame.image for frame in reader]), LENGTH))
    pictures = [struck(image) if any(i in span for span in WRONG) else image for i, image in enumerate(images)]
    return write_video(tmp_path / "clip.mp4", images=pictures)


def stored(watch: Watching, camera: str) -> list[Event]:
    """The events of a camera that are over, in their order."""
    with EventStore(f"sqlite:///{watch.out / 'events.db'}") as store:
        found = [one.event for one in store.find()]
    return sorted((one for one in found if one.source == camera and one.end is not None), key=lambda one: one.start)


def joined(watch: Watching, scenes: Path, clip: Path) -> float:
    """At which time of the clip the watch began to see it, by the scores of its first frames."""
    live = [(int(row["index"]), float(row["score"])) for row in watch.rows("live")[:6]]
    scene = Scene.load(scenes / "gate")
    with VideoReader(clip) as reader:
        scores = [
            score_batch([ScoreRequest(f, scene, scene.settings.score)])[0].score for f in islice(reader, WRONG[0].stop)
        ]
    differences = {
        shift: max(abs(scores[index + shift] - score) for index, score in live)
        for shift in range(len(scores) - live[-1][0])
    }
    (shift,) = [shift for shift, difference in differences.items() if difference < 1e-4]
    return shift / 25


def check_same(one: Event, other: Event, late: float, within: float) -> None:
    """The same event but for the id, if `other` counts its time from so many seconds later on."""
    assert (one.triggers, len(one.tracks)) == (other.triggers, len(other.tracks))
    if within < STEP:  # over RTSP other frames are sampled, and a peak may lie on the other side of a severity's border
        assert one.severity == other.severity
    assert one.end is not None
    assert other.end is not None
    assert other.start + late == pytest.approx(one.start, abs=within)
    assert other.end + late == pytest.approx(one.end, abs=within)
    assert other.peak_score == pytest.approx(one.peak_score, rel=0.05)
    assert any(overlap(a, b) for a in one.regions for b in other.regions)


def overlap(first: Box, second: Box) -> bool:
    return all(first[k] < second[k] + second[k + 2] and second[k] < first[k] + first[k + 2] for k in (0, 1))


def test_a_clip_has_the_same_events_as_a_file_and_over_rtsp(
    prompt_scenes: Path, clip: Path, tmp_path: Path, command: Command
) -> None:
    scenes = prompt_scenes
    need_server()
    with RtspCamera(write_units(clip, tmp_path / "clip.units")) as server:
        urls = {"file": str(clip), "live": server.url}
        cameras = {name: {"url": url, "scene": "gate"} for name, url in urls.items()}
        with Watching(tmp_path, scenes, cameras) as watch:
            until(lambda: len(stored(watch, "live")) >= 2, "there are no events over RTSP", pause=0.5)
            assert watch.end() < SOON
    assert command("score", clip, "--scene", "gate", "--scenes", scenes, "--out", tmp_path / "run").code == 0
    scored = [event_from_json(one) for one in json.loads((tmp_path / "run" / "clip" / "events.json").read_text())]
    file, live = stored(watch, "file"), stored(watch, "live")[:2]
    assert [event.start for event in file] == [span.start / 25 for span in WRONG]
    late = joined(watch, scenes, clip)
    for one, same, other in zip(file, scored, live, strict=True):
        check_same(one, same, 0.0, 1e-6)
        check_same(one, other, late, STEP)
