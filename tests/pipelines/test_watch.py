"""`watch` as a service: real cameras, a real process, real signals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from msflow_stream.video.reading.video_reader import VideoReader
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import Watching


@pytest.fixture
def camera(workplace: Workplace, tmp_path: Path) -> Iterator[RtspCamera]:
    need_server()
    with RtspCamera(write_units(workplace.clips / "first.mp4", tmp_path / "first.units")) as server:
        yield server


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


def test_a_file_and_the_same_over_rtsp_have_equal_scores_at_equal_indices(
    workplace: Workplace, camera: RtspCamera, tmp_path: Path
) -> None:
    cameras = {
        "file": {"url": str(workplace.clips / "first.mp4"), "scene": "gate", "every": 1},
        "live": {"url": camera.url, "scene": "gate", "every": 1},
    }
    with Watching(tmp_path, workplace.scenes, cameras) as watch:
        watch.wait_for("msflow_frames_delivered_total", 60, camera="live")
        watch.wait_for_state("file", "stopped")
        assert watch.end() < 10
    scores = [float(row["score"]) for row in watch.rows("file")]
    assert len(scores) == 75
    live = watch.rows("live")
    first = int(live[0]["index"])
    # A camera is joined somewhere in its loop: the shift is that for which the first scores agree.
    shifts = [s for s in range(75) if _differs(live[:20], scores, s - first) < 1e-4]
    assert len(shifts) == 1
    assert _differs(live, scores, shifts[0] - first) < 1e-4


def _differs(rows: list[dict[str, str]], scores: list[float], shift: int) -> float:
    return max(abs(float(row["score"]) - scores[(int(row["index"]) + shift) % len(scores)]) for row in rows)


def test_everything_that_is_written_of_a_camera(workplace: Workplace, camera: RtspCamera, tmp_path: Path) -> None:
    cameras = {"gate": {"url": camera.url, "scene": "gate"}}
    with Watching(tmp_path, workplace.scenes, cameras, "--record", "--preview") as watch:
        watch.wait_for("msflow_frames_delivered_total", 25, camera="gate")
        assert watch.end() < 10
    assert watch.process.returncode == 0
    folder = watch.out / "gate"
    (recording,) = (folder / "recordings").iterdir()
    with VideoReader(recording) as video:
        assert sum(1 for _ in video) == len(watch.rows("gate")) >= 25
    assert (folder / "preview.jpg").read_bytes().startswith(b"\xff\xd8")
    indices = [int(row["index"]) for row in watch.rows("gate")]
    assert all(index % 5 == 0 for index in indices)
    assert indices == sorted(set(indices))


def test_a_reload_restarts_the_changed_camera_only(workplace: Workplace, camera: RtspCamera, tmp_path: Path) -> None:
    one = {"url": camera.url, "scene": "gate"}
    with Watching(tmp_path, workplace.scenes, {"kept": one, "changed": one, "gone": one}) as watch:
        for name in ("kept", "changed", "gone"):
            watch.wait_for("msflow_frames_delivered_total", 3, camera=name)
        watch.configure({"kept": one, "changed": one | {"every": 1}, "new": one})
        watch.reload()
        watch.wait_for("msflow_frames_delivered_total", 3, camera="new")
        watch.wait_for("msflow_config_reloads_total", result="ok")
        read = watch.metric("msflow_frames_read_total", camera="kept")
        watch.wait_for("msflow_frames_read_total", read + 50, camera="kept")
        assert 'camera="gone"' not in watch.page("metrics")
        watch.config.write_text("cameras: {kept: {url: x, scene: gate, evry: 3}}")
        watch.reload()
        watch.wait_for("msflow_config_reloads_total", result="failed")
        assert "did you mean 'every'" in watch.said()
        read = watch.metric("msflow_frames_read_total", camera="kept")
        watch.wait_for("msflow_frames_read_total", read + 25, camera="kept")
        assert watch.end() < 10
    kept = [int(row["index"]) for row in watch.rows("kept")]
    assert kept == sorted(set(kept))  # it was never restarted: its index never began anew
    assert {int(row["index"]) % 5 for row in watch.rows("changed")[-10:]} == {0, 1, 2, 3, 4}


def test_one_watch_per_folder(workplace: Workplace, camera: RtspCamera, tmp_path: Path, command: Command) -> None:
    with Watching(tmp_path, workplace.scenes, {"gate": {"url": camera.url, "scene": "gate"}}) as watch:
        outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--out", watch.out, "--http", "off")
        assert outcome.code == 2
        assert "another watch" in outcome.err
        watch.end(signal.SIGKILL)
        watch.start()  # the lock of a killed watch is gone
        watch.wait_for_state("gate", "running")


def test_a_second_ctrl_c_ends_at_once(workplace: Workplace, camera: RtspCamera, tmp_path: Path) -> None:
    with Watching(tmp_path, workplace.scenes, {"gate": {"url": camera.url, "scene": "gate"}}, "--record") as watch:
        watch.wait_for("msflow_frames_delivered_total", 3, camera="gate")
        os.kill(watch.process.pid, signal.SIGINT)
        assert watch.end(signal.SIGINT) < 10


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
