"""A camera whose scene is learnt while it is watched: from nothing to its first event, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.datasets.synthetic import Violation
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.learning import phase_of
from msflow_stream.teaching.progress import Progress
from msflow_stream.video.packets.footage import FILE
from msflow_stream.web.watch_client import WatchAway, WatchClient
from tests.support.footage import SMALL, write_clip
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.watching import Watching, until

PHASE_PATIENCE = 400.0  # seconds: a worker is the last in line on a machine that tests
SETTINGS = (*SMALL, "event.min_duration=0.2")


def learning(camera: RtspCamera, learn: str = "3s", calibrate: str = "3s", *settings: str) -> dict[str, Any]:
    """A camera that learns, as the cameras file has it."""
    scene = {"learn": learn, "calibrate": calibrate, "settings": [*SETTINGS, *settings]}
    return {"url": camera.url, "scene": scene, "backoff": {"first": 0.2, "ceiling": 0.5}}


@pytest.fixture(scope="module")
def walkway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walkway")
    return write_units(write_clip(folder, "normal", 8), folder / "normal.units")


@pytest.fixture(scope="module")
def violation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("violation")
    clip = write_clip(folder, "cart", 6, [Violation("cart", 1, 5)], traffic=1)
    return write_units(clip, folder / "cart.units")


@pytest.fixture
def camera(walkway: Path) -> Iterator[RtspCamera]:
    need_server()
    with RtspCamera(walkway) as camera:
        yield camera


def wait_for_phase(watch: Watching, phase: str, camera: str = "gate") -> None:
    until(
        lambda: watch.metric("msflow_camera_phase", camera=camera, phase=phase) == 1,
        f"{camera} is never {phase}",
        patience=PHASE_PATIENCE,
    )


def wait_for_share(watch: Watching, share: float, camera: str = "gate") -> float:
    """Waits until so much of the phase is done."""
    return watch.wait_for("msflow_camera_phase_done_ratio", share, camera=camera)


def reported(watch: Watching, camera: str = "gate") -> dict[str, Any]:
    """What the watch tells its console of a camera."""

    async def answer() -> dict[str, Any]:
        client = WatchClient(watch.out)
        try:
            report: dict[str, Any] = await client.report()
            return report
        finally:
            await client.aclose()

    def report() -> dict[str, Any] | None:
        with suppress(WatchAway):  # it has only just begun
            return asyncio.run(answer())
        return None

    return next(one for one in until(report, "the watch does not answer")["cameras"] if one["name"] == camera)


def events(watch: Watching, camera: str = "gate") -> list[Path]:
    return sorted((watch.out / camera / "events").glob("*/event.json"))


def kill(watch: Watching) -> None:
    """As by a power cut; what it has begun ends, too."""
    children = watch.children
    watch.process.kill()
    watch.process.wait()
    until(lambda: not any(map(runs, children)), "a worker outlives the watch")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.long
def test_killed_in_every_phase_it_goes_on_and_then_finds_a_violation(
    camera: RtspCamera, violation: Path, tmp_path: Path
) -> None:
    scene = tmp_path / "scenes" / "gate"
    checkpoints, footage = FileCheckpoints(scene.parent / ".gate.fit"), learn_folder(scene) / "footage"
    with (
        Watching(tmp_path, scene.parent, {"gate": learning(camera, "5s", "4s", "fit.passes=25")}) as watch,
        watch.hurried(),
    ):
        done = wait_for_share(watch, 0.5)
        kill(watch)
        watch.start()
        assert wait_for_share(watch, 0.1) >= done - 0.4, "what was recorded is there"
        wait_for_phase(watch, "fitting")
        passes = until(lambda: checkpoints.passes, "no pass of the fit is complete", PHASE_PATIENCE)
        kill(watch)
        recorded = (footage / FILE).read_bytes()
        watch.start()
        assert reported(watch)["phase"] == "fitting"
        until(lambda: checkpoints.passes > passes, "the fit does not go on", PHASE_PATIENCE)
        assert (footage / FILE).read_bytes() == recorded, "nothing is recorded again"
        wait_for_phase(watch, "calibrating")
        wait_for_share(watch, 0.4)
        kill(watch)
        (scores,) = learn_folder(scene).glob("calibration-*.csv")
        collected = scores.read_text().count("\n")
        watch.start()
        wait_for_phase(watch, "watching")
        assert scores.read_text().count("\n") > collected
        assert not list(footage.glob("*.*")), "nobody needs to keep who walked by"
        assert not events(watch)
        camera.play(violation)
        until(lambda: events(watch), "the violation is no event")
        kill(watch)
        watch.start()
        assert reported(watch)["phase"] == "watching", "a learnt scene is simply there"


@pytest.mark.long
def test_two_cameras_learn_at_once_though_one_is_lost_and_the_other_sees_a_violation_too_early(
    camera: RtspCamera, walkway: Path, violation: Path, tmp_path: Path
) -> None:
    scenes = tmp_path / "scenes"
    with ExitStack() as stack:
        yard = stack.enter_context(RtspCamera(walkway))
        cameras = {"gate": learning(camera), "yard": learning(yard, "3s", "6s")}
        watch = stack.enter_context(Watching(tmp_path, scenes, cameras))
        stack.enter_context(watch.hurried())
        wait_for_share(watch, 0.3)
        camera.kill()
        watch.wait_for_state("gate", "reconnecting")
        assert reported(watch)["phase"] == "learning"
        wait_for_phase(watch, "calibrating", "yard")
        yard.play(violation)
        camera.restart()
        for name in cameras:
            wait_for_phase(watch, "watching", name)
            assert phase_of(scenes / name) == "watching"
            said = json.loads((scenes / name / "scene.json").read_text())["calibration"]["basis"]
            assert said["asked"] == 0.1
        assert not events(watch, "gate")
        early = [row for row in watch.rows("yard") if row["threshold"] == "inf"]
        assert len(early) > 10
        assert not any(int(row["alarm"]) for row in early)


@pytest.mark.long
def test_a_fit_that_fails_says_why_and_can_be_tried_again_and_ends_with_its_camera(
    camera: RtspCamera, tmp_path: Path
) -> None:
    scene = tmp_path / "scenes" / "gate"
    broken = learning(camera, "2s", "2s", f"model.weights={tmp_path / 'gone.safetensors'}")
    options = ("--console", "--console-http", "127.0.0.1:0")
    with Watching(tmp_path, scene.parent, {"gate": broken}, *options) as watch, watch.hurried():
        wait_for_phase(watch, "failed")
        assert "gone.safetensors" in reported(watch)["phase_text"]
        progress = Progress.read(learn_folder(scene))
        assert progress is not None
        assert progress.stage == "failed"
        watch.configure({"gate": learning(camera, "2s", "2s", "fit.passes=5000")})
        watch.reload()
        until(lambda: FileCheckpoints(scene.parent / ".gate.fit").passes, "it is not tried again", PHASE_PATIENCE)
        workers = watch.children
        watch.configure({})
        watch.reload()
        until(lambda: sum(map(runs, workers)) == 1, "the worker goes on for a camera that is gone")
        assert watch.process.poll() is None, "with a console, the watch waits for other cameras"
        assert not scene.exists()


def test_a_watch_with_a_console_begins_without_a_cameras_file(tmp_path: Path) -> None:
    with Watching(tmp_path, tmp_path / "scenes", {}, "--console", "--console-http", "127.0.0.1:0") as watch:
        assert watch.page("healthz") == "ok\n"
        watch.end()
        watch.config.unlink()
        watch.start()
        assert watch.config.read_text() == "cameras: {}\n"
        watch.reload()
        assert watch.metric("msflow_config_reloads_total", result="ok") == 1
