"""What the ring keeps of a stream: enough to play from any of the last seconds, and never more than it may."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from msflow_stream.config.cameras import CameraSettings
from msflow_stream.types import Frame
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.packets.packet_ring import OVERHEAD, PacketRing
from msflow_stream.video.reading.nal_units import parameter_sets
from tests.support.httpd import Pages
from tests.support.videos import write_video
from tests.video.live.pouring import pour

SECONDS = 4.0


def noise(count: int, size: tuple[int, int] = (160, 120)) -> list[np.ndarray]:
    """Pictures that no encoder makes small."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]


def test_the_last_seconds_are_kept_back_to_the_key_frame_before(tmp_path: Path) -> None:
    ring = PacketRing(SECONDS)
    times = pour(ring, write_video(tmp_path / "s.mp4", 300, keyframe_every=30))
    kept = ring.after(0)
    wanted = max(time for number, time in enumerate(times) if number % 30 == 0 and time <= times[-1] - SECONDS)
    assert kept[0].key
    assert kept[0].time == pytest.approx(wanted)
    assert [packet.time for packet in kept] == pytest.approx([time for time in times if time >= wanted - 1e-6])
    assert ring.newest == pytest.approx(times[-1])


@pytest.mark.parametrize("keyframe_every", [1, 25, 1000])
def test_its_memory_is_bounded_whatever_comes(tmp_path: Path, keyframe_every: int) -> None:
    path = write_video(tmp_path / "s.mp4", images=noise(60), keyframe_every=keyframe_every, options={"crf": "1"})
    bound = 100_000
    ring, whole = PacketRing(1e9, bound), PacketRing(1e9)
    pour(whole, path)
    pour(ring, path)
    assert whole.memory > 5 * bound
    kept = ring.after(0)
    assert ring.memory <= bound
    assert ring.memory == sum(len(packet.data) + OVERHEAD for packet in kept)
    assert [packet.data for packet in kept] == [packet.data for packet in whole.after(kept[0].number)]


@pytest.mark.parametrize("time", [-5.0, 0.0, 1.0, 2.3, 99.0])
def test_it_tells_the_key_frame_from_which_a_time_can_be_shown(tmp_path: Path, time: float) -> None:
    ring = PacketRing(100)
    times = pour(ring, write_video(tmp_path / "s.mp4", 100, keyframe_every=10))
    wanted = max((number for number in range(0, 100, 10) if times[number] <= time), default=0)
    assert ring.start(time) == wanted


def test_packets_are_given_in_the_order_of_decoding_once_their_times_are_known(tmp_path: Path) -> None:
    path = write_video(tmp_path / "s.mp4", 36, b_frames=3, keyframe_every=36)
    seen = 0
    for most in range(1, 36):
        ring = PacketRing(100)
        times = pour(ring, path, most=most)
        given = ring.after(0)
        assert all(packet.time is not None for packet in given)
        assert [packet.number for packet in given] == list(range(len(given)))
        shown = {round(packet.time or 0, 6) for packet in given}
        assert shown <= {round(time, 6) for time in times}
        seen = len(given)
    assert seen > 24


def test_what_an_earlier_connection_sent_stays_until_it_is_too_old(tmp_path: Path) -> None:
    path = write_video(tmp_path / "s.mp4", 50, keyframe_every=25)
    ring = PacketRing(SECONDS)
    pour(ring, path, most=40)
    pour(ring, path, start=3.0, most=40)
    both = ring.after(0)
    assert [packet.number for packet in both] == list(range(len(both)))
    codings = [packet.coding for packet in both]
    assert len(set(codings)) == 2
    assert codings == sorted(codings, key=codings.index)
    pour(ring, write_video(tmp_path / "longer.mp4", 200, keyframe_every=25), start=10.0)
    assert {packet.coding for packet in ring.after(0)}.isdisjoint(codings)


def test_pictures_of_another_size_in_mid_stream_are_another_coding_with_its_own_parameters(tmp_path: Path) -> None:
    joined = tmp_path / "joined.ts"
    parts = [write_video(tmp_path / f"{width}.ts", 30, (width, 48)) for width in (64, 96)]
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    ring = PacketRing(100)
    pour(ring, joined)
    packets = ring.after(0)
    changes = [later for earlier, later in pairwise(packets) if earlier.coding is not later.coding]
    assert len(changes) == 1
    assert changes[0].key
    assert changes[0].number == 30
    assert changes[0].coding.size == (96, 48)
    assert changes[0].coding.parameters == parameter_sets(changes[0].data, "h264")


@pytest.mark.parametrize(("codec", "kinds"), [("libx264", [7, 8]), ("libx265", [32, 33, 34])])
def test_parameter_sets_are_found_in_front_of_a_picture(tmp_path: Path, codec: str, kinds: list[int]) -> None:
    form = "h264" if codec == "libx264" else "hevc"
    ring = PacketRing(100)
    pour(ring, write_video(tmp_path / "s.ts", 30, codec=codec))
    first, second = ring.after(0)[:2]
    found = parameter_sets(first.data, form)
    assert found is not None
    units = found.split(b"\0\0\0\1")[1:]
    assert [unit[0] & 31 if form == "h264" else unit[0] >> 1 & 63 for unit in units] == kinds
    assert parameter_sets(second.data, form) is None
    assert parameter_sets(first.data, "mjpeg") is None


def test_a_stream_without_timestamps_is_said_to_be_an_obstacle(tmp_path: Path) -> None:
    ring = PacketRing(100)
    assert ring.obstacle is not None
    pour(ring, write_video(tmp_path / "s.h264", 30, format="h264"))
    assert ring.after(0) == []
    assert ring.obstacle is not None
    assert "timestamps" in ring.obstacle
    pour(ring, write_video(tmp_path / "s.mp4", 30))
    assert ring.obstacle is None


def test_a_ring_that_fails_costs_the_camera_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_video(tmp_path / "walk.ts", 30)
    ring = PacketRing(100)
    ring._append = lambda *_: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    frames: list[Frame] = []
    with Pages(tmp_path) as pages:
        camera = CameraReader(
            pages.url("walk.ts"),
            frames.append,
            random=Random(0),
            settings=CameraSettings(every=1, attempts=1),
            packets=ring,
        )
        with camera:
            assert camera.join(60)
    assert len(frames) == 30
    assert caplog.text.count("clips cannot be copied") == 1
    assert ring.after(0) == []
    assert ring.obstacle is not None


def test_the_packets_of_a_camera_have_the_times_of_its_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "walk.ts", 60, b_frames=2)
    ring = PacketRing(1e9)
    frames: list[Frame] = []
    with Pages(tmp_path) as pages:
        settings = CameraSettings(every=1, attempts=1)
        url = pages.url("walk.ts")
        with CameraReader(url, frames.append, random=Random(0), settings=settings, packets=ring) as camera:
            assert camera.join(60)
    packets = ring.after(0)
    assert len(packets) == 60
    assert sorted(packet.time or 0 for packet in packets) == pytest.approx([frame.time for frame in frames])
    assert {packet.pts for packet in packets} == {frame.pts for frame in frames}
