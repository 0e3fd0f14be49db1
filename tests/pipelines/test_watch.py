"""`watch` as a service: real cameras, a real process, real signals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from msflow_stream.video.reading.video_reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.street import QUICK, Bystander
from tests.support.watching import SOON, Watching, until

SECRET = "hunter2"  # found in every way of writing the password
PASSWORD = f"pl%40nted-{SECRET}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_server()
    return tmp_path_factory.mktemp("watch")


@pytest.fixture(scope="module")
def walkway(workplace: Workplace, folder: Path) -> Path:
    """The access units of what the cameras show."""
    return write_units(workplace.clips / "first.mp4", folder / "first.units")


@pytest.fixture(scope="module")
def camera(walkway: Path) -> Iterator[RtspCamera]:
    with RtspCamera(walkway) as server:
        yield server


@pytest.fixture(scope="module")
def watched(workplace: Workplace, folder: Path, walkway: Path, camera: RtspCamera) -> Watching:
    """A watch that has ended, over a file, cameras, and what is no camera, with all that can be written."""
    one = {"url": camera.url, "scene": "gate"}
    with RtspCamera(walkway, login=("admin", "right")) as server:
        refused = server.url.replace("://", f"://admin:{PASSWORD}@")
        cameras: dict[str, Any] = {
            "file": {"url": str(workplace.clips / "first.mp4"), "scene": "gate", "every": 1},
            "live": one | {"every": 1},
            "gate": one,
            "refused": QUICK | {"url": refused},
            "sending": one | {"restream": f"rtsp://me:{PASSWORD}@127.0.0.1:1/x"},
            "missing": {"url": str(folder / "missing.mp4"), "scene": "gate"},
        }
        with Watching(
            folder, workplace.scenes, cameras, "--record", "--preview", "--log", "json", by_command=True
        ) as watch:
            with Bystander(watch, "gate"):
                watch.wait_for("msflow_frames_delivered_total", 60, camera="live")
                watch.wait_for_state("file", "stopped")
                watch.wait_for_fault("refused", "credentials")
                watch.wait_for_state("missing", "failed")
                until(lambda: "restream to rtsp://***@127.0.0.1:1" in watch.said(), "nothing is sent")
                watch.configure(cameras | {"gate": {"url": refused, "scene": "gate", "evry": 5}})
                watch.reload()
            assert watch.end() < SOON
    assert watch.process.returncode == 0
    return watch


def test_files_in_place_of_cameras_have_the_scores_of_score(
    command: Command, workplace: Workplace, tmp_path: Path
) -> None:
    clips = {name: {"url": str(workplace.clips / f"{name}.mp4"), "scene": "gate"} for name in ("first", "second")}
    with Watching(tmp_path, workplace.scenes, clips) as watch:
        assert watch.process.wait(60) == 0  # it ends with its last file
    scored = command(
        "score", workplace.clips, "--scene", "gate", "--scenes", workplace.scenes, "--out", tmp_path / "run"
    )
    assert scored.code == 0
    for name in clips:
        lines = (tmp_path / "run" / name / "scores.csv").read_text().splitlines()
        expected = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
        found = watch.rows(name)
        assert [row["index"] for row in found] == [row["index"] for row in expected]
        for key in ("time", "score", "surprise", "surprise_mean", "smoothed", "threshold", "alarm"):
            values = [float(row[key]) for row in found]
            assert values == pytest.approx([float(row[key]) for row in expected], rel=1e-4, abs=1e-6), key


def test_a_file_and_the_same_over_rtsp_have_equal_scores_at_equal_indices(watched: Watching) -> None:
    scores = [float(row["score"]) for row in watched.rows("file")]
    assert len(scores) == 75
    live = watched.rows("live")
    first = int(live[0]["index"])
    # A camera is joined somewhere in its loop: the shift is that for which the first scores agree.
    shifts = [s for s in range(75) if _differs(live[:20], scores, s - first) < 1e-4]
    assert len(shifts) == 1
    assert _differs(live, scores, shifts[0] - first) < 1e-4


def _differs(rows: list[dict[str, str]], scores: list[float], shift: int) -> float:
    return max(abs(float(row["score"]) - scores[(int(row["index"]) + shift) % len(scores)]) for row in rows)


def test_everything_that_is_written_of_a_camera(watched: Watching) -> None:
    folder = watched.out / "gate"
    (recording,) = (folder / "recordings").iterdir()
    with VideoReader(recording) as video:
        assert sum(1 for _ in video) == len(watched.rows("gate")) >= 10
    assert (folder / "preview.jpg").read_bytes().startswith(b"\xff\xd8")
    assert all(index % 5 == 0 for index in watched.indices("gate"))


def test_each_line_of_a_json_log_is_an_object_that_holds_no_password(watched: Watching) -> None:
    lines = [json.loads(line) for line in watched.said().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert {"INFO", "WARNING", "ERROR"} <= {line["level"] for line in lines}
    assert SECRET not in watched.said()
    files = [path for path in watched.out.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_one_watch_per_folder_that_a_second_ctrl_c_ends_at_once(
    workplace: Workplace, camera: RtspCamera, tmp_path: Path, command: Command
) -> None:
    with Watching(tmp_path, workplace.scenes, {"gate": {"url": camera.url, "scene": "gate"}}, "--record") as watch:
        outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--out", watch.out, "--http", "off")
        assert outcome.code == 2
        assert "another watch" in outcome.err
        watch.end(signal.SIGKILL)
        watch.start()  # the lock of a killed watch is gone
        watch.wait_for("msflow_frames_delivered_total", 3, camera="gate")
        os.kill(watch.process.pid, signal.SIGINT)
        assert watch.end(signal.SIGINT) < SOON


def test_the_schema_is_one_and_takes_what_watch_takes(command: Command) -> None:
    outcome = command("watch", "--schema")
    assert outcome.code == 0
    schema = json.loads(outcome.out)
    Draft202012Validator.check_schema(schema)
    valid = Draft202012Validator(schema).is_valid
    assert valid({"cameras": {"gate": {"url": "rtsp://192.0.2.1/live", "scene": "gate"}}})
    assert not valid({"cameras": {"gate": {"url": "rtsp://192.0.2.1/live", "scene": "gate", "evry": 5}}})


def test_check_opens_every_camera_and_says_which_cannot_be_watched(
    command: Command, workplace: Workplace, camera: RtspCamera, tmp_path: Path
) -> None:
    good = {"url": camera.url, "scene": "gate"}
    watch = Watching(tmp_path, workplace.scenes, {"good": good})
    outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--check")
    assert outcome.code == 0, outcome.err
    assert "96 x 64" in outcome.out
    watch.configure({"good": good, "lost": good | {"url": "rtsp://127.0.0.1:1/live"}, "strange": good | {"scene": "x"}})
    outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--check")
    assert outcome.code == 2
    assert "2 of 3 cameras cannot be watched: lost, strange" in outcome.err
    assert "check the port" in outcome.out


def test_without_a_cameras_file_one_is_asked_for(command: Command) -> None:
    assert command("watch").code == 2
