"""Faults done to one camera of a real `watch`, each beside a healthy camera that must not be disturbed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from socket import create_server
from typing import Any

import numpy as np
import pytest

from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.video.reading.video_reader import VideoReader
from pipelines.fit import FitJob, fit
from tests.pipelines.conftest import Workplace
from tests.support.babbler import Babbler
from tests.support.command import Command
from tests.support.footage import small_settings
from tests.support.proxy import Proxy
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.small_disk import fill, small_disk
from tests.support.street import QUICK, Bystander, Street, check_account, frames_so_far
from tests.support.videos import write_video
from tests.support.watching import SOON, Watching, until

SECRET = "hunter2"  # found in every way of writing the password
PASSWORD = f"pl%40nted-{SECRET}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_server()
    return tmp_path_factory.mktemp("street")


@pytest.fixture(scope="module")
def walkway(workplace: Workplace, folder: Path) -> Path:
    """What the cameras show, for the server."""
    return write_units(workplace.clips / "first.mp4", folder / "walkway.units")


@pytest.fixture(scope="module")
def still(workplace: Workplace, folder: Path) -> Path:
    """A single picture as a video; what shows it over and over is frozen."""
    with VideoReader(workplace.clips / "second.mp4") as reader:
        picture = next(iter(reader)).image
    return write_video(folder / "still.h264", images=[picture], format="h264")


@pytest.fixture(scope="module")
def stable(walkway: Path) -> Iterator[RtspCamera]:
    with RtspCamera(walkway) as server:
        yield server


@pytest.fixture(scope="module")
def absent(walkway: Path) -> Iterator[RtspCamera]:
    """A server that does not run yet, at an address that was free."""
    server = RtspCamera(walkway)
    server.start()
    server.kill()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def street(workplace: Workplace, folder: Path, stable: RtspCamera, absent: RtspCamera) -> Iterator[Street]:
    scenes = folder / "scenes"
    for name in ("gate", "door"):
        shutil.copytree(workplace.scenes / "gate", scenes / name)
    cameras: dict[str, dict[str, Any]] = {
        "healthy": {"url": stable.url, "scene": "gate"},
        "absent": QUICK | {"url": absent.url},
    }
    with Watching(folder, scenes, cameras, "--record") as watch:
        yield Street(watch, cameras)
        assert watch.end() < SOON
    assert watch.process.returncode == 0
    check_account(watch, "healthy")


@pytest.fixture
def server(walkway: Path) -> Iterator[RtspCamera]:
    """A camera that a fault is done to."""
    with RtspCamera(walkway) as camera:
        yield camera


def test_server_absent_at_start(street: Street, absent: RtspCamera) -> None:
    watch = street.watch
    with Bystander(watch, "healthy") as healthy:
        watch.wait_for_fault("absent", "refused")
        healthy.goes_on()
        assert watch.metric("msflow_frames_read_total", camera="absent") == 0
        absent.start()
        watch.wait_for_scores("absent")
        watch.wait_for_state("absent", "running")
    assert watch.indices("absent")


def test_server_killed_and_restarted(street: Street, server: RtspCamera) -> None:
    watch = street.watch
    with street.beside("restarted", url=server.url) as healthy:
        watch.wait_for_scores("restarted")
        server.kill()
        watch.wait_for_fault("restarted", "refused")
        healthy.goes_on()
        read = watch.metric("msflow_frames_read_total", camera="restarted")
        server.start()
        watch.wait_for("msflow_camera_segment", 1, camera="restarted")
        watch.wait_for_scores("restarted")
        watch.wait_for_state("restarted", "running")
        assert watch.metric("msflow_reconnects_total", camera="restarted") >= 1
    indices = watch.indices("restarted")  # which rise: they went on where they were
    assert indices[0] < read < indices[-1]


def test_tcp_stalled(street: Street, server: RtspCamera) -> None:
    watch = street.watch
    with Proxy(server.port) as network:
        url = server.url.replace(str(server.port), str(network.port))
        with street.beside("behind", url=url, read_timeout=1.5, open_timeout=1.5) as healthy:
            watch.wait_for_scores("behind")
            network.stall()
            watch.wait_for_fault("behind", "silent")
            watch.wait_for_fault("behind", "timeout")
            healthy.goes_on()
            network.resume()
            watch.wait_for("msflow_camera_segment", 1, camera="behind")
            watch.wait_for_scores("behind")
    assert watch.indices("behind")


def test_packets_lost_over_udp(street: Street, walkway: Path) -> None:
    watch = street.watch
    with RtspCamera(walkway, loss=0.05) as lossy, street.beside("lossy", url=lossy.url, transport="udp", every=1):
        watch.wait_for("msflow_decode_errors_total", 2, camera="lossy")
        watch.wait_for_scores("lossy", 25)
        assert watch.metric("msflow_reconnects_total", camera="lossy") == 0
    assert watch.indices("lossy")[-1] > len(watch.indices("lossy"))  # what was lost has kept its place in the count


def test_stream_switched_to_another_resolution(street: Street, server: RtspCamera, folder: Path) -> None:
    watch = street.watch
    larger = write_units(write_video(folder / "larger.h264", 50, (160, 128), format="h264"), folder / "larger.units")
    with street.beside("switched", url=server.url):
        watch.wait_for_scores("switched")
        server.play(larger)
        watch.wait_for("msflow_picture_width_pixels", 160, camera="switched")
        watch.wait_for_scores("switched")
        assert watch.metric("msflow_reconnects_total", camera="switched") == 0
    sizes = []
    for path in watch.recordings("switched"):
        with VideoReader(path) as reader:
            sizes.append((reader.info.width, reader.info.height))
    assert sizes == [(96, 64), (160, 128)]
    assert watch.indices("switched")


def test_frozen_picture(street: Street, server: RtspCamera, still: Path, walkway: Path, folder: Path) -> None:
    watch = street.watch
    with street.beside("frozen", url=server.url, frozen_after=0.8) as healthy:
        watch.wait_for_scores("frozen")
        server.play(write_units(still, folder / "still.units"))
        watch.wait_for_fault("frozen", "frozen")
        watch.wait_for_state("frozen", "stalled")
        watch.wait_for_scores("frozen")  # they are scored all the same
        healthy.goes_on()
        server.play(walkway)
        watch.wait_for_state("frozen", "running")
        assert watch.metric("msflow_reconnects_total", camera="frozen") == 0


def test_black_picture(street: Street, server: RtspCamera, walkway: Path, folder: Path) -> None:
    watch = street.watch
    black = write_video(folder / "black.h264", images=[np.zeros((64, 96, 3), np.uint8)], format="h264")
    with street.beside("black", url=server.url, black_after=0.8, frozen_after=0.4) as healthy:
        watch.wait_for_scores("black")
        server.play(write_units(black, folder / "black.units"))
        watch.wait_for_fault("black", "black")
        watch.wait_for_scores("black")
        healthy.goes_on()
        server.play(walkway)
        watch.wait_for_state("black", "running")
        assert watch.metric("msflow_reconnects_total", camera="black") == 0


@pytest.mark.parametrize("scheme", ["rtsp", "tcp"])
def test_a_source_of_garbage_bytes(street: Street, scheme: str) -> None:
    watch = street.watch
    with Babbler() as babbler:
        with street.beside(f"babbling-{scheme}", url=f"{scheme}://127.0.0.1:{babbler.port}/live") as healthy:
            watch.wait_for_fault(f"babbling-{scheme}", "garbled")
            healthy.goes_on()
            watch.wait_for("msflow_reconnects_total", 2, camera=f"babbling-{scheme}")  # it is tried again and again
        assert not watch.rows(f"babbling-{scheme}")


def test_a_file_of_garbage_bytes(street: Street, folder: Path) -> None:
    garbage = folder / "garbage.mp4"
    garbage.write_bytes(np.random.default_rng(0).bytes(1 << 16))
    with street.beside("garbage", url=str(garbage)) as healthy:
        street.watch.wait_for_state("garbage", "failed")
        street.watch.wait_for_fault("garbage", "garbled")
        healthy.goes_on()


def test_credentials_refused(street: Street, walkway: Path, tmp_path: Path, command: Command) -> None:
    watch = street.watch
    with RtspCamera(walkway, login=("admin", "right")) as server:
        url = server.url.replace("://", f"://admin:{PASSWORD}@")
        with street.beside("refused", url=url) as healthy:
            watch.wait_for_fault("refused", "credentials")
            watch.wait_for_state("refused", "reconnecting")
            healthy.goes_on()
            said = [watch.page(name) for name in ("metrics", "healthz", "readyz", "")]
            said += [path.read_text() for path in Path(f"/proc/{watch.process.pid}").glob("task/*/comm")]
            said += [Path(f"/proc/{watch.process.pid}/cmdline").read_text()]
            outcome = command("watch", watch.config, "--scenes", watch.out.parent / "scenes", "--check")
    assert outcome.code == 2
    assert "***@127.0.0.1" in watch.said()
    assert "check user and password" in said[2]  # of readyz
    assert "check user and password" in " ".join(outcome.out.replace("│", " ").split())
    said += [outcome.out, outcome.err, watch.said()]
    assert not [text for text in said if SECRET in text]
    assert not [path for path in files_below(watch.out) if SECRET.encode() in path.read_bytes() or SECRET in path.name]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_config_reloaded_with_one_camera_changed(street: Street, server: RtspCamera) -> None:
    watch = street.watch
    with street.beside("changed", url=server.url) as healthy:  # which is another one that goes on
        watch.wait_for_scores("changed")
        cameras = {**street.cameras, "changed": QUICK | {"url": server.url, "every": 1}}
        watch.configure(cameras)
        watch.reload()
        until(lambda: {int(row["index"]) % 5 for row in watch.rows("changed")[-10:]} == {0, 1, 2, 3, 4}, "every is 5")
        mistakes = [f"cameras: {{healthy: {wrong}}}" for wrong in ("{url: x, evry: 3}", "{url: x, scene: nowhere}")]
        for mistake in (*mistakes, "\0\1\2", "cameras: {}"):
            failed = watch.metric("msflow_config_reloads_total", result="failed")
            watch.config.write_text(mistake)
            watch.reload()
            assert watch.metric("msflow_config_reloads_total", result="failed") == failed + 1
            healthy.goes_on()
            watch.wait_for_scores("changed")
    assert watch.said().count("the cameras stay as they are") == 4
    assert "did you mean 'every'" in watch.said()


def test_a_scene_that_was_fitted_again_is_taken_at_reload(
    street: Street, still: Path, workplace: Workplace, folder: Path
) -> None:
    watch, door = street.watch, folder / "scenes" / "door"
    with VideoReader(still) as reader:
        (frame,) = reader

    def score_by(scene: Scene) -> float:
        return score_batch([ScoreRequest(frame, scene, scene.settings.score)])[0].score

    units = write_units(still, folder / "still-door.units")
    with RtspCamera(units) as server, street.beside("door", url=server.url, scene="door", frozen_after=None):
        watch.wait_for_scores("door")
        before = score_by(Scene.load(door))
        fit(
            [str(workplace.folder / "normal.mp4")],
            door,
            small_settings("fit.seed=7"),
            FitJob(device="cpu", overwrite=True),
        )
        watch.wait_for_scores("door")
        after = score_by(Scene.load(door))
        watch.reload()
        watch.wait_for_scores("door", 10)
        assert watch.metric("msflow_reconnects_total", camera="door") == 0
    scores = [float(row["score"]) for row in watch.rows("door")]
    assert after != pytest.approx(before, rel=1e-3)
    changes = [number for number, (a, b) in enumerate(pairwise(scores), 1) if abs(a - b) > abs(before - after) / 2]
    assert len(changes) == 1
    assert scores[: changes[0]] == pytest.approx([before] * changes[0], rel=1e-4)
    assert scores[changes[0] :] == pytest.approx([after] * (len(scores) - changes[0]), rel=1e-4)
    assert watch.indices("door")


def test_a_file_among_live_cameras(street: Street, workplace: Workplace) -> None:
    watch = street.watch
    with street.beside("clip", url=str(workplace.clips / "second.mp4"), every=1) as healthy:
        watch.wait_for_state("clip", "stopped")
        healthy.goes_on()
        assert watch.wait_for("msflow_frames_delivered_total", 75, camera="clip") == 75
    assert watch.indices("clip") == list(range(75))


def test_a_camera_that_is_deleted_by_reload_finishes_its_files(street: Street, server: RtspCamera) -> None:
    watch = street.watch
    with street.beside("deleted", url=server.url, every=1):
        watch.wait_for_scores("deleted", 30)
    assert 'camera="deleted"' not in watch.page("metrics")
    assert len(watch.recordings("deleted")) == 1  # of which `beside` has counted the frames
    content = (watch.out / "deleted" / "scores.csv").read_text()
    assert content.endswith("\n")
    opened = [str(link.readlink()) for link in Path(f"/proc/{watch.process.pid}/fd").iterdir() if link.is_symlink()]
    assert not [path for path in opened if path.startswith(str(watch.out / "deleted"))]


def test_a_folder_that_cannot_be_written_is_one_cameras_trouble(street: Street, stable: RtspCamera) -> None:
    watch = street.watch
    (watch.out / "blocked").write_text("a file in place of the camera's folder")
    with Bystander(watch, "healthy"):
        watch.configure({**street.cameras, "blocked": {"url": stable.url, "scene": "gate"}})
        watch.reload()
        watch.wait_for_state("blocked", "failed")
        watch.configure(street.cameras)
        watch.reload()
    assert "blocked: not watched (cannot create the folder" in watch.said()
    assert 'camera="blocked"' not in watch.page("metrics")


@pytest.mark.long
def test_disk_full_while_recording(workplace: Workplace, stable: RtspCamera, tmp_path: Path) -> None:
    one = {"url": stable.url, "scene": "gate", "every": 1}
    with (
        small_disk(tmp_path / "small", 16 << 20) as disk,
        Watching(disk, workplace.scenes, {"one": one, "two": one}, "--record", "--keep-free-gib", "0") as watch,
    ):
        for name in ("one", "two"):
            until(lambda name=name: frames_so_far(watch, name) >= 25, "nothing is recorded")  # type: ignore[misc]
        filler = fill(disk)
        for name in ("one", "two"):
            watch.wait_for("msflow_sink_lost_total", camera=name, sink="recorder", cause="disk")
            watch.wait_for("msflow_sink_lost_total", camera=name, sink="scores", cause="disk")
            watch.wait_for_scores(name, 25)
        filler.unlink()
        for name in ("one", "two"):
            until(lambda name=name: len(watch.recordings(name)) > 1, "recording does not go on")  # type: ignore[misc]
            lost = watch.metric("msflow_sink_lost_total", camera=name, sink="scores")
            watch.wait_for_scores(name, 30)
            assert watch.metric("msflow_sink_lost_total", camera=name, sink="scores") == lost
        assert watch.total("msflow_reconnects_total") == 0
        assert watch.end() < SOON
        for name in ("one", "two"):
            assert watch.indices(name)  # whole lines all of them
            check_account(watch, name)


@pytest.mark.long
def test_sigterm_under_load(workplace: Workplace, stable: RtspCamera, tmp_path: Path) -> None:
    cameras: dict[str, Any] = {f"camera{i}": {"url": stable.url, "scene": "gate", "every": 1} for i in range(6)}
    with Proxy(stable.port) as network:
        url = stable.url.replace(str(stable.port), str(network.port))
        cameras["stalled"] = QUICK | {"url": url, "read_timeout": 60}
        with Watching(tmp_path, workplace.scenes, cameras, "--record", "--preview") as watch:
            for name in cameras:
                watch.wait_for("msflow_frames_delivered_total", 20, camera=name)
            network.stall()
            watch.wait_for_fault("stalled", "silent")
            watch.configure({name: camera for name, camera in cameras.items() if name != "camera5"})
            watch.reload()  # what is just being finished must not be cut off
            assert watch.end() < SOON
    assert watch.process.returncode == 0
    assert "left behind" not in watch.said()
    for name in cameras:
        check_account(watch, name)
        assert len(watch.indices(name)) >= 20


GOOD = "cameras: {gate: {url: x.mp4, scene: gate}}"


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (None, [], "cannot read cameras[red].yaml: No such file or directory"),
        ("a directory", [], "Is a directory"),
        ("\0\1\2", [], "this is not YAML"),
        ("cameras: {}", [], "cameras[red].yaml has no cameras: add one, or give --console"),
        ("cameras: {gate: {url: x.mp4, scene: gate, evry: 3}}", [], "line 1: cameras.gate.evry is unknown"),
        ("cameras: {gate: {url: x.mp4, scene: nowhere}}", [], "no scene 'nowhere'"),
        (GOOD, ["--out", "cameras[red].yaml/out"], "cannot create the folder cameras[red].yaml/out"),
        (GOOD, ["--http", "127.0.0.1:PORT"], "the port is in use"),
        (GOOD, ["--http", "127.0.0.1"], "--http takes HOST:PORT"),
        (GOOD, ["--device", "cuda:99"], "no device 'cuda:99'"),
    ],
)
def test_what_cannot_be_started_is_one_line(
    command: Command,
    workplace: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("cameras[red].yaml")  # which is no markup
    if content == "a directory":
        file.mkdir()
    elif content is not None:
        file.write_text(content)
    with create_server(("127.0.0.1", 0)) as taken:
        options = [option.replace("PORT", str(taken.getsockname()[1])) for option in options]
        outcome = command("watch", file, "--scenes", workplace.scenes, "--http", "127.0.0.1:0", *options)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
