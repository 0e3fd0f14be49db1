"""Cameras over HTTP: HLS, MJPEG and plain streams, and what a web server can answer instead."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.watch.probe import probe
from tests.support.httpd import Pages
from tests.support.videos import coded_image, rename_codec, write_video
from tests.support.watcher import Watcher

PASSWORD = "hunter2-planted"
RATE, LENGTH = 25, 250
SECONDS = 1  # of a segment of HLS
WINDOW = 4  # segments that a live playlist names
PLAYLIST = "application/vnd.apple.mpegurl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip as HLS in segments of a second, as for a recording: all.m3u8, 0.ts, 1.ts, ..."""
    folder = tmp_path_factory.mktemp("site")
    clip = write_video(folder / "clip.ts", LENGTH, rate=RATE, keyframe_every=RATE * SECONDS)
    settings = {"hls_time": f"{SECONDS}", "hls_playlist_type": "vod", "hls_segment_filename": str(folder / "%d.ts")}
    with av.open(str(clip)) as given, av.open(str(folder / "all.m3u8"), "w", format="hls", options=settings) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    write_video(folder / "short.mp4", 10, rate=RATE)
    rename_codec(write_video(folder / "strange.mp4", 10))
    return folder


class Broadcast:
    """The clip as live HLS: a playlist of the last few segments, which moves on from its first reader on."""

    def __init__(self) -> None:
        self._begin: float | None = None

    def playlist(self) -> Iterator[bytes]:
        self._begin = self._begin or time.monotonic()
        first = int((time.monotonic() - self._begin) / SECONDS)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SECONDS}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, first + WINDOW):
            lines += [f"#EXTINF:{SECONDS}.0,", f"{number % (LENGTH // RATE)}.ts"]
        yield "\n".join(lines).encode() + b"\n"


def test_live_hls_has_its_indices_and_times_and_passes_as_it_happened(folder: Path) -> None:
    streams = {"live.m3u8": (PLAYLIST, Broadcast().playlist)}
    with Pages(folder, streams=streams) as site, Watcher(site.url("live.m3u8")) as seen:
        seen.until_frames(5 * RATE * SECONDS)  # more than are there at the start
    codes = seen.codes
    assert [frame.index for frame in seen.frames] == list(range(len(codes)))
    assert codes == list(range(codes[0], codes[0] + len(codes)))
    assert [frame.time for frame in seen.frames] == pytest.approx(
        [frame.index / RATE for frame in seen.frames], abs=0.01
    )
    assert [new for new, _, _ in seen.news] == [State.RUNNING, State.STOPPED]
    walls = [frame.wall.timestamp() for frame in seen.frames if frame.wall is not None]
    # However many came at once, none is handed on before its time.
    assert all(wall - walls[0] >= frame.time - 0.05 for wall, frame in zip(walls, seen.frames, strict=True))
    assert set(seen.segments) == {0}


def test_recorded_hls_begins_anew_at_its_end_and_goes_on_in_index_and_time(folder: Path) -> None:
    text = (folder / "all.m3u8").read_text().splitlines()
    end = next(number for number, line in enumerate(text) if line == "1.ts")
    (folder / "two.m3u8").write_text("\n".join([*text[: end + 1], "#EXT-X-ENDLIST", ""]))
    with Pages(folder) as site, Watcher(site.url("two.m3u8")) as seen:
        seen.until(lambda: 1 in seen.segments)
        seen.until_frames(5)
    assert [fault for state, fault, _ in seen.news if state is State.RECONNECTING] == [Fault.ENDED]
    assert [frame.index for frame in seen.frames] == list(range(len(seen.frames)))
    assert seen.codes[:50] == list(range(50))
    assert seen.codes[50:] == list(range(len(seen.codes) - 50))
    times = [frame.time for frame in seen.frames]
    assert times[:50] == pytest.approx([index / RATE for index in range(50)], abs=0.01)
    assert times == sorted(set(times))


def test_of_hls_in_several_qualities_only_the_best_is_fetched(folder: Path) -> None:
    for name, size in (("small", (64, 48)), ("large", (128, 96))):
        write_video(folder / f"{name}.ts", 60, size=size, keyframe_every=5)
        body = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\n{name}.ts\n"
        again = "".join(f"#EXT-X-DISCONTINUITY\n#EXTINF:2.4,\n{name}.ts?{number}\n" for number in range(9))
        (folder / f"{name}.m3u8").write_text(f"{body}{again}#EXT-X-ENDLIST\n")
    variants = [
        "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=64x48\nsmall.m3u8",
        "#EXT-X-STREAM-INF:BANDWIDTH=2\nlarge.m3u8",
    ]
    (folder / "master.m3u8").write_text("\n".join(["#EXTM3U", *variants, ""]))
    with Pages(folder) as site, Watcher(site.url("master.m3u8")) as seen:
        seen.until_frames(64)  # more than a segment has
        asked = site.asked.copy()
    assert {frame.image.shape for frame in seen.frames} == {(96, 128, 3)}
    assert asked.count("large.ts") > 1
    assert asked.count("small.ts") == 1  # while the qualities are looked at


def test_hls_whose_server_goes_away_is_lost_and_found_again(folder: Path) -> None:
    errors: dict[str, int] = {}
    streams = {"live.m3u8": (PLAYLIST, Broadcast().playlist)}
    with (
        Pages(folder, streams=streams, errors=errors) as site,
        Watcher(site.url("live.m3u8"), read_timeout=3.0) as seen,
    ):
        seen.until_frames(5)
        errors |= {"live.m3u8": 404} | {f"{number}.ts": 404 for number in range(LENGTH // RATE)}
        seen.until(lambda: any(state is State.RECONNECTING for state, _, _ in seen.news))
        seen.until_fault(State.RECONNECTING, Fault.NOT_FOUND)
        errors.clear()
        seen.until(lambda: 1 in seen.segments)
    indices = [frame.index for frame in seen.frames]
    assert indices == sorted(set(indices))


def mjpeg(interval: float) -> Iterator[bytes]:
    for number in itertools.count():
        file = io.BytesIO()
        Image.fromarray(coded_image(number % 1000)).save(file, "jpeg", quality=90)
        yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(file.getvalue())
        yield file.getvalue() + b"\r\n"
        time.sleep(interval)


def test_mjpeg_without_timestamps_is_timed_by_arrival_and_not_by_a_rate_nobody_named(folder: Path) -> None:
    streams = {"video": ("multipart/x-mixed-replace; boundary=frame", lambda: mjpeg(0.1))}
    with Pages(folder, streams=streams) as site, Watcher(site.url("video")) as seen:
        seen.until_frames(15)
        status = seen.camera.status()
    assert [frame.index for frame in seen.frames] == list(range(len(seen.frames)))
    assert seen.codes == [frame.index for frame in seen.frames]
    assert {frame.pts for frame in seen.frames} == {None}
    walls = [frame.wall.timestamp() for frame in seen.frames if frame.wall is not None]
    elapsed = [wall - walls[0] for wall in walls]
    assert [frame.time for frame in seen.frames] == pytest.approx(elapsed, abs=0.05)
    assert status.info is not None
    assert status.info.codec == "mjpeg"


def test_a_change_of_frame_rate_in_mid_stream_survives(tmp_path: Path) -> None:
    fast = write_video(tmp_path / "fast.ts", 25, rate=25, keyframe_every=5)
    slow = write_video(tmp_path / "slow.ts", images=[coded_image(n) for n in range(25, 35)], rate=5, keyframe_every=5)
    (tmp_path / "both.ts").write_bytes(fast.read_bytes() + slow.read_bytes())
    with Pages(tmp_path) as site, Watcher(site.url("both.ts"), attempts=1) as seen:
        seen.until(lambda: any(state is State.FAILED for state, _, _ in seen.news))
    assert [frame.index for frame in seen.frames] == seen.codes == list(range(35))
    steps = [after.time - before.time for before, after in itertools.pairwise(seen.frames)]
    assert steps[:24] == pytest.approx([1 / 25] * 24)
    assert steps[25:] == pytest.approx([1 / 5] * 9)
    assert set(seen.segments) == {0}
    assert seen.camera.status().decode_errors == 0


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, Fault.CREDENTIALS),
        (403, Fault.CREDENTIALS),
        (404, Fault.NOT_FOUND),
        (500, Fault.SERVER),
        (503, Fault.SERVER),
    ],
)
def test_what_a_web_server_answers_instead_is_told_apart(status: int, fault: Fault, folder: Path) -> None:
    with Pages(folder, errors={"live": status}) as site, Watcher(site.url("live", f"admin:{PASSWORD}")) as seen:
        seen.until_fault(State.RECONNECTING, fault)
    assert PASSWORD not in repr(seen.news)


def test_a_codec_that_nobody_decodes_is_said(folder: Path) -> None:
    with Pages(folder) as site, Watcher(site.url("strange.mp4")) as seen:
        seen.until_fault(State.RECONNECTING, Fault.CODEC)


def test_a_web_page_is_no_camera(folder: Path) -> None:
    (folder / "page.html").write_text("<html>" + "hello " * 1000)
    with Pages(folder) as site, Watcher(site.url("page.html")) as seen:
        seen.until_fault(State.RECONNECTING, Fault.GARBLED)


def test_tls_to_a_web_server_without_it_is_said(folder: Path) -> None:
    with Pages(folder) as site, Watcher(site.url("all.m3u8").replace("http:", "https:")) as seen:
        seen.until_fault(State.RECONNECTING, Fault.TLS)


def test_a_login_opens_hls_and_all_of_its_parts(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Pages(folder, login=f"admin:{PASSWORD}") as site:
        with Watcher(site.url("all.m3u8", f"admin:{PASSWORD}")) as seen:
            seen.until_frames(2 * RATE * SECONDS)
        found = probe(site.url("all.m3u8", f"admin:{PASSWORD}"), "gate", CameraSettings())
    assert (found.name, found.width, found.height, found.codec, found.rate) == ("gate", 64, 48, "h264", RATE)
    said = capfd.readouterr()  # FFmpeg has a log of its own, in which HLS names every address
    said_by_us = f"{found!r} {seen.news!r} {seen.camera.status()!r} {seen.frames[0].source}"
    assert PASSWORD not in said.out + said.err + said_by_us
