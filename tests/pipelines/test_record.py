"""`record` by the real thing: an RTSP camera, faults done to it and to us, and what a fit reads of the footage."""

from __future__ import annotations

import io
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from msflow_stream.scenes.footage_facts import FootageFacts
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.teaching.progress import Progress
from msflow_stream.video.packets import footage_recorder, footage_writer
from msflow_stream.video.packets.footage import Footage
from msflow_stream.video.packets.footage_recorder import FootageRecorder
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.video.sources import expand_sources
from pipelines.record import RecordJob, record
from tests.support.clips import shown
from tests.support.command import Command
from tests.support.footage import small_flags
from tests.support.httpd import Pages
from tests.support.prepared import Forked, prepared
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.small_disk import fill, small_disk
from tests.support.videos import coded_image, write_video
from tests.support.watching import until

PASSWORD = "hunter2-planted"
LENGTH, RATE = 500, 25


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes access units for the server, of coded images by default."""
    need_server()
    folder = tmp_path_factory.mktemp("clips")
    forms = {"libx265": "hevc", "mjpeg": "mjpeg"}

    def make(name: str, **settings: Any) -> Path:
        path = folder / f"{name}.units"
        if not path.exists():
            form = forms.get(settings.get("codec", ""), "h264")
            chosen = {"count": LENGTH, "size": (64, 48), "keyframe_every": 5, **settings}
            write_units(write_video(folder / name, rate=RATE, format=form, **chosen), path)
        return path

    return make


@pytest.fixture(scope="module")
def camera(clips: Callable[..., Path]) -> Iterator[RtspCamera]:
    """One that nobody kills."""
    with RtspCamera(clips("coded")) as camera:
        yield camera


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing for a second is a gap, and a disk may be no more than three seconds behind."""
    monkeypatch.setattr(footage_writer, "GAP", 1.0)
    monkeypatch.setattr(footage_recorder, "KEPT", 3.0)
    monkeypatch.setattr("pipelines.record.FootageRecorder", partial(FootageRecorder, pause=1.0))


class Recording:
    """A recording in a thread, as the command does it. A context manager, which waits for its end."""

    def __init__(self, url: str, folder: Path, seconds: float) -> None:
        self.folder, self.said = folder, io.StringIO()
        job = RecordJob(url=url, seconds=seconds, folder=folder, tell=self._tell)
        self.done, self._job = 0.0, job
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _tell(self, seconds: float) -> None:
        self.done = seconds

    def _run(self) -> None:
        try:
            record(self._job, Console(file=self.said, width=200))
        except BaseException as error:
            self.failure = error

    def until(self, seconds: float) -> None:
        """Waits until so much is recorded."""
        until(lambda: self.done >= seconds or self.failure, f"less than {seconds} s are recorded: {self.failure}")

    def __enter__(self) -> Recording:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._thread.join(90)
        if error is None and self.failure is not None:
            raise self.failure

    @property
    def footage(self) -> Footage:
        found = Footage.read(self.folder)
        assert found is not None
        return found


def indices(folder: Path) -> list[list[int | None]]:
    """The numbers that the images of each segment say; each plays from its first one on."""
    return [[code for _, code in shown(path)] for path in map(Path, expand_sources([str(folder)]))]


def follow(codes: list[int | None]) -> bool:
    """Whether nothing is missing between the first and the last of them."""
    return all(after == (before + 1) % LENGTH for before, after in itertools.pairwise(codes) if before is not None)


@pytest.mark.parametrize(
    ("encoding", "codec", "settings"),
    [
        ("H264", "h264", {}),
        ("H264+sound", "h264", {}),
        ("H265", "hevc", {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=none:frame-threads=1"}}),
        ("JPEG", "mjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
def test_what_a_camera_sends_is_footage_that_plays(
    clips: Callable[..., Path], tmp_path: Path, encoding: str, codec: str, settings: dict[str, Any]
) -> None:
    with RtspCamera(clips(codec, **settings), encoding) as camera, Recording(camera.url, tmp_path, 1.5) as recording:
        pass
    (codes,) = indices(tmp_path)
    assert follow(codes)
    (segment,) = recording.footage.segments
    assert (segment.codec, segment.size, segment.frames) == (codec, (64, 48), len(codes))
    assert segment.seconds == pytest.approx((len(codes) - 1) / RATE, abs=0.2)
    assert recording.footage.gaps == []
    assert f"{codec} 64x48" in recording.said.getvalue()


@pytest.mark.usefixtures("soon")
def test_a_camera_that_is_lost_leaves_a_gap_and_is_recorded_again(clips: Callable[..., Path], tmp_path: Path) -> None:
    with RtspCamera(clips("coded")) as camera, Recording(camera.url, tmp_path, 5) as recording:
        recording.until(1)
        camera.kill()
        time.sleep(1.5)
        camera.restart()
    assert 2 <= len(indices(tmp_path)) <= 4  # a machine that is busy makes gaps too
    assert all(follow(codes) for codes in indices(tmp_path))
    assert {gap.cause for gap in recording.footage.gaps} == {"camera"}
    assert max(gap.seconds for gap in recording.footage.gaps) > 1.5
    assert sum(recording.footage.faults.values()) > 1
    assert "the camera was lost" in recording.said.getvalue()


def test_frames_of_another_size_and_codec_begin_a_segment(clips: Callable[..., Path], tmp_path: Path) -> None:
    h265 = {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=none:frame-threads=1"}}
    large, other = clips("large", size=(96, 64)), clips("hevc", **h265)
    with RtspCamera(clips("coded")) as camera, Recording(camera.url, tmp_path, 4) as recording:
        recording.until(1)
        camera.play(large)
        recording.until(2.5)
        camera.restart("H265", other)
    found = [(one.codec, one.size) for one in recording.footage.segments]
    assert found == [("h264", (64, 48)), ("h264", (96, 64)), ("hevc", (64, 48))]
    for codes in indices(tmp_path):
        assert follow(codes)
    assert "h264 96x64" in recording.said.getvalue()


@contextmanager
def process(folder: Path, *arguments: object) -> Iterator[Forked]:
    """The command line in a process of its own; what it says goes to files `out` and `err`."""
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        running = prepared().begin([*map(str, arguments)], out, err)
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.mp4"))


def test_after_a_kill_the_same_command_goes_on(camera: RtspCamera, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    arguments = ["record", camera.url, "--for", "1h", "--out", folder]
    with process(tmp_path, *arguments) as recording:
        until(lambda: folder.exists() and bytes_in(folder) > 8_000, "nothing is written")
        recording.send_signal(signal.SIGKILL)
        recording.wait()
    with process(tmp_path, *arguments) as recording:
        until(lambda: len(list(folder.glob("*.mp4"))) == 2 and bytes_in(folder) > 16_000, "nothing more is written")
        recording.send_signal(signal.SIGINT)
        assert recording.wait(60) == 130
    assert "going on: " in (tmp_path / "out").read_text()
    assert "the same command goes on from here" in (tmp_path / "err").read_text()
    first, second = expand_sources([str(folder)])
    assert follow([code for _, code in shown(Path(first), cut_off=True)])
    assert follow([code for _, code in shown(Path(second))])
    footage = Footage.read(folder)
    assert footage is not None
    for segment in footage.segments:
        with VideoReader(folder / segment.file) as reader:
            assert len(list(reader)) == segment.frames


@pytest.mark.usefixtures("soon")
def test_a_full_disk_costs_what_does_not_fit_and_recording_goes_on(
    camera: RtspCamera, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk", 16 * 2**20) as disk:
        folder = disk / "footage"
        with Recording(camera.url, folder, 4) as recording:
            recording.until(1)
            filler = fill(disk)
            until(lambda: "No space left on device" in caplog.text, "nobody notices")
            time.sleep(4.5)
            filler.unlink()
        assert all(follow(codes) for codes in indices(folder))
        assert "disk" in [gap.cause for gap in recording.footage.gaps]
        assert recording.footage.seconds >= 4
        assert "the disk was full" in recording.said.getvalue()


def test_a_wrong_password_is_said_in_one_line_and_never_shown(
    clips: Callable[..., Path], command: Command, tmp_path: Path
) -> None:
    with RtspCamera(clips("coded"), login=("admin", PASSWORD)) as camera:
        for wrong in (f"x{PASSWORD}", ""):
            url = camera.url.replace("//", f"//admin:{wrong}@")
            outcome = command("record", url, "--for", "1s", "--out", tmp_path / "footage")
            assert outcome.code == 2
            assert outcome.err.count("\n") == 1
            assert "check user and password" in outcome.err
            assert PASSWORD not in outcome.out + outcome.err
            assert not (tmp_path / "footage").exists()
        url = camera.url.replace("//", f"//admin:{PASSWORD}@")
        outcome = command("record", url, "--for", "1s", "--out", tmp_path / "footage")
    assert outcome.code == 0, outcome.err
    assert PASSWORD not in outcome.out + outcome.err + (tmp_path / "footage" / "footage.json").read_text()


def test_another_cameras_folder_is_left_alone(camera: RtspCamera, command: Command, tmp_path: Path) -> None:
    Footage("yard").write(tmp_path)
    outcome = command("record", camera.url, "--for", "1s", "--out", tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "holds footage of yard" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rtsp://127.0.0.1:1/live"], "check the port"),
        (["clip.mp4"], "is no camera"),
        (["foo://camera/live"], "cannot read foo URLs"),
        (["rtsp://127.0.0.1:1/live", "--for", "30"], "--for should be a length of time such as 30m, 2h or 90s"),
    ],
)
def test_what_cannot_be_recorded_is_said_in_one_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = command("record", *arguments)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert said in outcome.err
    assert list(tmp_path.rglob("*.json")) == []


def mjpeg() -> Iterator[bytes]:
    for index in range(100_000):
        image = io.BytesIO()
        Image.fromarray(coded_image(index % LENGTH)).save(image, "JPEG")
        yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + image.getvalue() + b"\r\n"
        time.sleep(1 / RATE)


def test_a_camera_of_stills_over_http_is_recorded_with_the_times_at_which_they_came(tmp_path: Path) -> None:
    streams = {"live": ("multipart/x-mixed-replace; boundary=frame", mjpeg)}
    with Pages(tmp_path, streams=streams) as site, Recording(site.url("live"), tmp_path / "footage", 2):
        pass
    (codes,) = indices(tmp_path / "footage")
    assert follow(codes)


def test_fit_records_a_camera_and_fits_at_once_and_a_killed_one_goes_on(
    camera: RtspCamera, command: Command, tmp_path: Path
) -> None:
    def arguments(length: str, url: str = camera.url) -> list[object]:
        return ["fit", url, "--for", length, "--scene", "gate", "--scenes", tmp_path, *small_flags()]

    footage = learn_folder(tmp_path / "gate") / "footage"
    with process(tmp_path, *arguments("1h")) as fit:
        until(lambda: footage.exists() and bytes_in(footage) > 8_000, "nothing is written")
        said = Progress.read(footage.parent)
        fit.send_signal(signal.SIGKILL)
        fit.wait()
    assert said is not None
    assert (said.stage, said.of, said.unit) == ("recording", 3600, "s of footage")
    assert "holds footage of" in command(*arguments("1h", "rtsp://127.0.0.1:1/live")).err
    outcome = command(*arguments("4s"))
    assert outcome.code == 0, outcome.err
    assert "going on: " in outcome.out
    assert "frames fitted in 2 passes" in outcome.out
    assert not footage.parent.exists(), "the footage is no longer needed"
    facts = FootageFacts.read(tmp_path / "gate")
    assert facts is not None
    assert facts.coverage.seconds > 2
    assert sum(facts.coverage.hours) == pytest.approx(facts.coverage.seconds)
    again = command(*arguments("4s"))
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "exists already" in again.err


@pytest.mark.parametrize(
    ("sources", "options", "said"),
    [
        (["rtsp://a/1", "rtsp://b/2"], ["--scene", "gate"], "--for records one camera"),
        ([], ["--scene", "gate"], "--for records one camera"),
        (["rtsp://a/1"], [], "--for records one camera"),
        (["rtsp://a/1"], ["--scenes-from", "clips"], "--for records one camera"),
        (["clip.mp4"], ["--scene", "gate"], "is no camera"),
    ],
)
def test_fit_for_a_time_wants_one_camera(
    command: Command, tmp_path: Path, sources: list[str], options: list[str], said: str
) -> None:
    outcome = command("fit", *sources, "--for", "1s", *options, "--scenes", tmp_path / "scenes")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert said in outcome.err
    assert not (tmp_path / "scenes").exists()


def test_a_fit_on_a_camera_without_an_end_says_how_to_record_it(command: Command, tmp_path: Path) -> None:
    url = f"rtsp://admin:{PASSWORD}@camera.example/live"
    outcome = command("fit", url, "--scene", "gate", "--scenes", tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "with --for 30m" in outcome.err
    assert PASSWORD not in outcome.err
