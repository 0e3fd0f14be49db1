"""Evidence of a live camera's events, by the real thing: an RTSP server whose packets are found in the clips again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.video.packets.packet_ring import PacketRing
from tests.events.evidence.playing import EVERY, STYLE, Watched, evidence, names, said
from tests.support.clips import codes, shown, units
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.videos import write_video

LENGTH, KEYFRAMES, RATE = 1000, 10, 50  # more frames a second than cameras have, so that no test takes long
SETTINGS = EvidenceSettings(pre_roll=0.4, post_roll=0.3)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """Makes coded pictures: the file, and its access units for the server."""
    need_server()
    folder = tmp_path_factory.mktemp("clips")

    def make(form: str, size: tuple[int, int] = (64, 48)) -> tuple[Path, Path]:
        video = folder / f"{form}-{size[0]}.{form}"
        if not video.exists():
            codec = "libx265" if form == "hevc" else "libx264"
            options = {"x265-params": "keyint=10:min-keyint=10:scenecut=0:bframes=0"} if form == "hevc" else None
            write_video(
                video, LENGTH, size, rate=RATE, keyframe_every=KEYFRAMES, codec=codec, format=form, options=options
            )
        return video, write_units(video, video.with_suffix(".units"))

    return make


def camera(units: Path, encoding: str = "H264") -> RtspCamera:
    return RtspCamera(units, encoding, rate=RATE)


@pytest.fixture
def server(clips: Callable[..., tuple[Path, Path]]) -> Iterator[RtspCamera]:
    with camera(clips("h264")[1]) as server:
        yield server


def watching(server: RtspCamera, folder: Path, settings: EvidenceSettings = SETTINGS) -> Watched:
    ring = PacketRing(settings.memory_seconds)
    writer = EvidenceWriter(folder / "events", STYLE, packets=ring, settings=settings)
    return Watched(server.url, ring, writer)


def pictures(path: Path, form: str) -> list[list[bytes]]:
    """The coded pictures of a clip, without the units that are only put in front of them."""
    return [[unit for unit in packet if is_picture(unit, form)] for packet in units(path)]


def is_picture(unit: bytes, form: str) -> bool:
    return (unit[0] & 31) <= 5 if form == "h264" else (unit[0] >> 1 & 63) < 32


@pytest.mark.parametrize(("encoding", "form"), [("H264", "h264"), ("H265", "hevc")])
def test_a_clip_holds_the_cameras_own_packets_with_pre_and_post_roll(
    tmp_path: Path, clips: Callable[..., tuple[Path, Path]], encoding: str, form: str
) -> None:
    video, served = clips(form)
    with camera(served, encoding) as server, watching(server, tmp_path) as seen:
        seen.until_time(0.8)
        start, peak = seen.now, seen.frames[-1].index
        seen.until_time(start + 0.3)  # it is known a little later
        seen.writer.event(said("one", start, peak))
        seen.until_time(start + 0.6)
        end = seen.now
        seen.until_time(end + 0.2)
        seen.writer.event(said("one", start, peak, end, version=2))
        seen.until_time(end + SETTINGS.post_roll + 1.2)
        clip = tmp_path / "events/one/clip.mp4"
        numbers = {frame.time: frame.index for frame in seen.frames}
    (part,) = evidence(clip.parent)["clips"]
    assert part["start"] <= start - SETTINGS.pre_roll
    assert part["start"] > start - SETTINGS.pre_roll - (KEYFRAMES + 1) / RATE
    assert end + SETTINGS.post_roll <= part["end"] <= end + SETTINGS.post_roll + 2 / RATE
    played = shown(clip)
    seen_codes = [code for _, code in played]
    assert seen_codes == list(range(seen_codes[0] or 0, (seen_codes[0] or 0) + len(played)))
    assert played[-1][0] == pytest.approx(part["end"] - part["start"], abs=1e-3)
    assert played[0][0] == 0
    assert pictures(clip, form) == pictures(video, form)[seen_codes[0] or 0 : (seen_codes[-1] or 0) + 1]
    assert names(clip.parent) == {"event.json", "clip.mp4", "overlay.mp4", "snapshot.jpg", "snapshot_overlay.jpg"}
    # What the clip shows at a time is what was scored at that time.
    for time, index in numbers.items():
        if part["start"] <= time <= part["end"]:
            assert index == min(played, key=lambda one: abs(one[0] - (time - part["start"])))[1]


def test_a_reconnect_in_the_middle_ends_the_file_and_begins_another(tmp_path: Path, server: RtspCamera) -> None:
    with watching(server, tmp_path) as seen:
        seen.until_time(0.5)
        start, peak = seen.now, seen.frames[-1].index
        seen.writer.event(said("one", start, peak))
        seen.until_time(start + 0.4)
        server.restart()
        seen.until(lambda: (seen.camera.status().segment or 0) > 0)
        again = seen.now
        seen.until_time(again + 0.5)
        end = seen.now
        seen.writer.event(said("one", start, peak, end, version=2))
        seen.until_time(end + SETTINGS.post_roll + 1.2)
    folder = tmp_path / "events/one"
    first, second = evidence(folder)["clips"]
    assert [first["file"], second["file"]] == ["clip.mp4", "clip-2.mp4"]
    assert first["start"] <= start - 0.25
    assert first["end"] < second["start"]
    assert second["end"] >= end + SETTINGS.post_roll
    for part in (first, second):
        seen_codes = codes(folder / part["file"])
        assert seen_codes == list(range(seen_codes[0] or 0, (seen_codes[0] or 0) + len(seen_codes)))
        assert len(seen_codes) == pytest.approx((part["end"] - part["start"]) * RATE + 1, abs=1.01)


def test_pictures_of_another_size_after_a_reconnect_make_a_file_of_that_size(
    tmp_path: Path, server: RtspCamera, clips: Callable[..., tuple[Path, Path]]
) -> None:
    with watching(server, tmp_path) as seen:
        seen.until_time(0.5)
        start = seen.now
        seen.writer.event(said("one", start, seen.frames[-1].index))
        server.restart(units=clips("h264", (96, 64))[1])
        seen.until(lambda: seen.frames[-1].image.shape == (64, 96, 3))
        seen.until_time(seen.now + 0.6)
    folder = tmp_path / "events/one"
    files = [part["file"] for part in evidence(folder)["clips"]]
    assert files == ["clip.mp4", "clip-2.mp4"]
    assert all(len(codes(folder / file)) > 5 for file in files)


def test_what_led_to_a_loss_of_the_camera_is_in_the_clip_of_an_event_that_begins_afterwards(
    tmp_path: Path, server: RtspCamera
) -> None:
    with watching(server, tmp_path) as seen:
        seen.until_time(0.5)
        before = seen.now
        server.restart()
        seen.until(lambda: (seen.camera.status().segment or 0) > 0)
        start = seen.now
        seen.writer.event(said("one", start, seen.frames[-1].index))
        seen.until_time(start + 0.5)
    first, second = evidence(tmp_path / "events/one")["clips"]
    assert first["start"] <= before
    assert second["end"] > start


def test_without_an_event_nothing_is_written_and_memory_is_bounded(tmp_path: Path, server: RtspCamera) -> None:
    ring = PacketRing(seconds=1000, max_bytes=20_000)
    writer = EvidenceWriter(tmp_path / "events", STYLE, packets=ring, settings=SETTINGS)
    with Watched(server.url, ring, writer, every=EVERY) as seen:
        seen.until_time(2.0)
        assert 10_000 < ring.memory <= 20_000
    assert names(tmp_path / "events") == set()
