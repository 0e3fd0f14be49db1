"""What the MP4 writer promises, asked of the files it leaves, with PyAV and ffprobe."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from msflow_stream.types import UserError
from msflow_stream.video.writing.video_writer import VideoWriter
from tests.support.data import REPOSITORY

TICKS = Fraction(1, 90_000)
RATE = Fraction(25)
STEP = 3600  # ticks per frame at 25 frames per second

needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")


def picture(index: int, width: int = 96, height: int = 64) -> npt.NDArray[np.uint8]:
    """A textured picture with a bright square that moves, so that no two look alike."""
    rng = np.random.default_rng(7)
    image = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
    x = (index * 3) % max(1, width - 8)
    image[8:16, x : x + 8] = 240
    return image


def write(path: Path, stamps: list[int], **settings: Any) -> None:
    """Write one small picture per timestamp."""
    settings = {"width": 96, "height": 64, "time_base": TICKS, "rate": RATE} | settings
    with VideoWriter(path, **settings) as writer:
        for index, pts in enumerate(stamps):
            writer.write(picture(index, settings["width"], settings["height"]), pts)


def stamps_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def images_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def probe(path: Path, kind: str = "v") -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", kind, "-show_streams", "-of", "json"]
    found = json.loads(subprocess.run([*command, str(path)], check=True, capture_output=True).stdout)
    return dict(found["streams"][0])


def sound_of(path: Path) -> tuple[float, list[bytes]]:
    """When the first packet of sound starts, and the bytes of all of them."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.dts is not None]
        return float(packets[0].dts * packets[0].time_base), [bytes(packet) for packet in packets]


def make_source(path: Path, codec: str, seconds: float = 2.0, video_at: float = 0.0, beep_at: float = 1.0) -> Path:
    """A source with a plain picture from `video_at` on, and silence broken by a beep at `beep_at`."""
    rate = 48_000
    moments = np.arange(int(seconds * rate)) / rate
    wave = np.where((moments >= beep_at) & (moments < beep_at + 0.2), np.sin(2 * np.pi * 880 * moments) * 0.5, 0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25, width=96, height=64, pix_fmt="yuv420p")
        audio = container.add_stream(codec, rate=rate, layout="mono")
        packets = []
        for index in range(int((seconds - video_at) * 25)):
            frame = av.VideoFrame.from_ndarray(picture(index))
            frame.pts, frame.time_base = index + round(video_at * 25), Fraction(1, 25)
            packets += video.encode(frame)
        for start in range(0, len(wave), 1024):
            block = (wave[None, start : start + 1024] * 32767).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = rate, start, Fraction(1, rate)
            packets += audio.encode(sound)
        packets += [*video.encode(None), *audio.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def rewrite(source: Path, path: Path, limit: int | None = None) -> None:
    """Write a source's frames again, with its sound."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        settings = (stream.width, stream.height, stream.time_base, stream.average_rate)
        with VideoWriter(path, *settings, audio_from=source) as writer:
            for index, frame in enumerate(container.decode(stream)):
                if index == limit:
                    break
                writer.write(frame.to_ndarray(format="rgb24"), frame.pts)


def beep_after_first_picture(path: Path) -> float:
    """Seconds from the first picture to the beep, as a player presents both."""
    with av.open(str(path)) as container:
        start = next(frame.pts * frame.time_base for frame in container.decode(video=0))
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64).ravel()
            if not frame.format.name.startswith("flt"):
                samples /= 32768
            loud = np.flatnonzero(np.abs(samples) > 0.2)
            if loud.size:
                return float(frame.pts * frame.time_base - start) + float(loud[0]) / frame.sample_rate
    raise AssertionError("no beep")


@pytest.mark.parametrize(("cores", "live", "threads"), [(1, False, 1), (3, False, 3), (64, False, 4), (64, True, 1)])
def test_it_is_encoded_by_the_cores_to_use_four_at_most_and_by_one_at_the_speed_of_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, live: bool, threads: int
) -> None:
    monkeypatch.setattr("msflow_stream.video.writing.encoders.usable_cores", lambda: cores)
    with VideoWriter(tmp_path / "a.mp4", 96, 64, Fraction(1, 25), Fraction(25), live=live) as writer:
        writer.write(picture(0), 0)
        assert writer._stream.codec_context.thread_count == threads
    assert len(images_of(tmp_path / "a.mp4")) == 1


def test_the_file_is_h264_yuv420p_with_as_many_frames_as_were_written(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", [index * STEP for index in range(40)])
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert sum(1 for _ in container.decode(stream)) == 40
        assert not container.streams.audio


@needs_ffprobe
@pytest.mark.parametrize("first", [0, 54_321])
def test_ffprobe_counts_the_frames_and_measures_the_duration_of_the_source(tmp_path: Path, first: int) -> None:
    write(tmp_path / "o.mp4", [first + index * STEP for index in range(60)])
    found = probe(tmp_path / "o.mp4")
    assert int(found["nb_read_frames"]) == int(found["nb_frames"]) == 60
    assert float(found["duration"]) == pytest.approx(60 / 25, abs=1e-3)
    assert float(found["start_time"]) == 0


@pytest.mark.parametrize("time_base", [Fraction(1, 90_000), Fraction(1, 1000), Fraction(1001, 30_000), Fraction(1, 25)])
def test_a_variable_frame_rate_is_kept_to_the_tick(tmp_path: Path, time_base: Fraction) -> None:
    gaps = np.random.default_rng(3).integers(1, 90, 50)
    stamps = [int(stamp) for stamp in 1234 + np.concatenate(([0], np.cumsum(gaps)))]
    write(tmp_path / "o.mp4", stamps, time_base=time_base)
    assert stamps_of(tmp_path / "o.mp4") == [(stamp - stamps[0]) * time_base for stamp in stamps]


def test_a_time_base_too_fine_for_mp4_is_kept_to_a_microsecond(tmp_path: Path) -> None:
    stamps = [7 + index * 33_366_667 for index in range(30)]
    write(tmp_path / "o.mp4", stamps, time_base=Fraction(1, 10**9))
    errors = [
        abs(got - Fraction(pts - 7, 10**9)) for got, pts in zip(stamps_of(tmp_path / "o.mp4"), stamps, strict=True)
    ]
    assert max(errors) <= Fraction(1, 10**6)


def test_a_repeated_or_backward_timestamp_moves_one_tick_on(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", [0, 100, 100, 50, 400])
    assert stamps_of(tmp_path / "o.mp4") == [pts * TICKS for pts in (0, 100, 101, 102, 400)]


def test_keyframes_come_about_every_two_seconds_at_any_frame_rate(tmp_path: Path) -> None:
    stamps = [index * STEP for index in range(100)] + [100 * STEP + index * 45_000 for index in range(16)]
    write(tmp_path / "o.mp4", stamps)
    with av.open(str(tmp_path / "o.mp4")) as container:
        keys = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None and p.is_keyframe]
    assert np.diff(keys).max() <= 2.5
    assert np.diff(keys).min() >= 1


@pytest.mark.parametrize("size", [(97, 65), (96, 65), (1, 1), (33, 64)])
def test_an_odd_size_grows_by_one_and_keeps_every_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    ramp = np.linspace(40, 200, width * height).reshape(height, width).astype(np.uint8)
    with VideoWriter(tmp_path / "o.mp4", width, height, TICKS, RATE, crf=1) as writer:
        for index in range(3):
            writer.write(np.repeat(ramp[..., None], 3, axis=2), index * STEP)
    image = images_of(tmp_path / "o.mp4")[0].astype(int)
    assert image.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(image[:height, :width] - ramp[..., None]).max() <= 12
    assert np.abs(image[-1, :width] - ramp[-1, :, None]).max() <= 12


def test_a_frame_of_another_size_is_resized_to_the_file_s(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "o.mp4", 96, 64, TICKS, RATE) as writer:
        for index, size in enumerate([(96, 64), (192, 128), (31, 17)]):
            writer.write(np.full((size[1], size[0], 3), 150, np.uint8), index * STEP)
    images = images_of(tmp_path / "o.mp4")
    assert [image.shape for image in images] == [(64, 96, 3)] * 3
    assert all(abs(int(image.mean()) - 150) <= 3 for image in images)


@pytest.mark.parametrize(("lines", "matrix"), [(480, 6), (720, 1)])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
def test_colours_come_back_through_the_matrix_the_file_names(
    tmp_path: Path, lines: int, matrix: int, colour: tuple[int, int, int]
) -> None:
    with VideoWriter(tmp_path / "o.mp4", 64, lines, TICKS, RATE) as writer:
        writer.write(np.full((lines, 64, 3), colour, np.uint8), 0)
    with av.open(str(tmp_path / "o.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (
            *[matrix] * 3,
            1,
        )
        luma, blue, red = (plane.astype(float) for plane in _planes(next(container.decode(video=0))))
    # ITU-R BT.601 / BT.709, limited range: the standard's own inverse, not the one of the library under test.
    kr, kb = {6: (0.299, 0.114), 1: (0.2126, 0.0722)}[matrix]
    y, pb, pr = (luma.mean() - 16) / 219, (blue.mean() - 128) / 224, (red.mean() - 128) / 224
    r, b = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    assert np.array([r, g, b]) * 255 == pytest.approx(np.array(colour), abs=6)


def _planes(frame: av.VideoFrame) -> list[npt.NDArray[np.uint8]]:
    stacked = frame.to_ndarray()  # yuv420p: the luma plane on top of both quarter-size chroma planes
    luma, rest = stacked[: frame.height], stacked[frame.height :].reshape(2, -1)
    return [luma, rest[0], rest[1]]


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("aac", "mp4"),
        ("aac", "mkv"),
        ("libmp3lame", "mkv"),
        ("ac3", "mkv"),
        ("libopus", "mkv"),
        ("flac", "mkv"),
        ("alac", "mov"),
    ],
)
def test_sound_that_mp4_can_hold_is_copied_byte_for_byte(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_source(tmp_path / f"s.{suffix}", codec)
    rewrite(source, tmp_path / "o.mp4")
    assert sound_of(tmp_path / "o.mp4")[1] == sound_of(source)[1]


@pytest.mark.parametrize(
    ("codec", "suffix"), [("aac", "mp4"), ("aac", "mkv"), ("libopus", "mkv"), ("pcm_s16le", "mkv")]
)
@pytest.mark.parametrize("video_at", [0.0, 0.4])
def test_sound_stays_in_sync_with_the_picture(tmp_path: Path, codec: str, suffix: str, video_at: float) -> None:
    source = make_source(tmp_path / f"s.{suffix}", codec, video_at=video_at)
    rewrite(source, tmp_path / "o.mp4")
    assert beep_after_first_picture(tmp_path / "o.mp4") == pytest.approx(1.0 - video_at, abs=0.03)


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", "mov"), ("pcm_u8", "avi"), ("pcm_s16le", "mkv")])
def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_source(tmp_path / f"s.{suffix}", codec)
    rewrite(source, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == "aac"
    assert beep_after_first_picture(tmp_path / "o.mp4") == pytest.approx(1.0, abs=0.03)


def test_sound_that_starts_late_is_heard_when_it_should_be_and_does_not_hold_up_the_file(tmp_path: Path) -> None:
    source = tmp_path / "s.mkv"
    early = make_source(tmp_path / "early.mkv", "aac", seconds=1.0, beep_at=0.5)
    with av.open(str(early)) as container, av.open(str(source), "w") as late:
        streams = {stream.index: late.add_stream_from_template(stream, opaque=True) for stream in container.streams}
        for packet in [packet for packet in container.demux() if packet.dts is not None]:
            if packet.stream.type == "audio":
                delay = round(2 / packet.time_base)
                packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
            packet.stream = streams[packet.stream.index]
            late.mux(packet)
    with VideoWriter(tmp_path / "o.mp4", 96, 64, TICKS, RATE, audio_from=source) as writer:
        for index in range(50):
            writer.write(picture(index), index * STEP)
        assert len(stamps_of(tmp_path / "o.mp4")) >= 20
        for index in range(50, 90):
            writer.write(picture(index), index * STEP)
    assert beep_after_first_picture(tmp_path / "o.mp4") == pytest.approx(2.5, abs=0.03)


def test_sound_ends_with_the_picture(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s.mp4", "aac", seconds=4.0)
    rewrite(source, tmp_path / "o.mp4", limit=25)
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.audio[0]
        assert 1.0 <= float(stream.duration * stream.time_base) <= 1.3


@pytest.mark.parametrize("kind", ["text", "missing", "cut"])
def test_a_broken_sound_leaves_the_picture_whole_with_at_most_one_warning(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "s.mkv"
    if kind == "text":
        source.write_text("this is no video")
    elif kind == "cut":
        whole = make_source(tmp_path / "whole.mkv", "pcm_s16le").read_bytes()
        noise = np.random.default_rng(1).bytes(5000)
        source.write_bytes(whole[:60_000] + noise + whole[65_000:90_000])
    with caplog.at_level(logging.WARNING, logger="msflow_stream"):
        write(tmp_path / "o.mp4", [index * STEP for index in range(50)], audio_from=source)
    assert len(stamps_of(tmp_path / "o.mp4")) == 50
    warnings = [record for record in caplog.records if record.name.startswith("msflow_stream")]
    assert len(warnings) == 1 if kind != "cut" else len(warnings) <= 1


def test_a_source_without_sound_gives_a_file_without_sound_and_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "s.mp4", [index * STEP for index in range(10)])
    with caplog.at_level(logging.WARNING):
        rewrite(tmp_path / "s.mp4", tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert not container.streams.audio
    assert not caplog.records


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "o.mp4", 96, 64, TICKS, RATE):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_is_raised_and_the_file_is_finished(tmp_path: Path) -> None:
    def fail_after_ten_frames() -> None:
        with VideoWriter(tmp_path / "o.mp4", 96, 64, TICKS, RATE) as writer:
            for index in range(10):
                writer.write(picture(index), index * STEP)
            raise RuntimeError("the scorer failed")

    with pytest.raises(RuntimeError, match="the scorer failed"):
        fail_after_ten_frames()
    assert len(stamps_of(tmp_path / "o.mp4")) == 10


def test_a_file_that_was_closed_is_a_plain_mp4_without_fragments(tmp_path: Path) -> None:
    write(tmp_path / "o.mp4", [index * STEP for index in range(100)])
    data, kinds, at = (tmp_path / "o.mp4").read_bytes(), [], 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        kinds.append(kind)
        at += size
    assert b"moov" in kinds
    assert b"moof" not in kinds


CHILD = """
import sys, time
from fractions import Fraction
from pathlib import Path
import numpy as np
from msflow_stream.video.writing.video_writer import VideoWriter
rng = np.random.default_rng(0)
ground = rng.integers(0, 200, (64, 96, 3), dtype=np.uint8)
source = Path(sys.argv[2]) if sys.argv[2] else None
with VideoWriter(Path(sys.argv[1]), 96, 64, Fraction(1, 90_000), Fraction(25), audio_from=source) as writer:
    for index in range(200):
        ground[:, index % 96] = index
        writer.write(ground, index * 3600)
    sys.stdout.write("written\\n")
    sys.stdout.flush()
    time.sleep(60)
"""


@pytest.mark.parametrize("with_sound", [False, True])
def test_after_sigkill_all_but_the_last_two_seconds_can_be_played(tmp_path: Path, with_sound: bool) -> None:
    source = make_source(tmp_path / "s.mp4", "aac", seconds=9.0) if with_sound else ""
    command = [sys.executable, "-c", CHILD, str(tmp_path / "o.mp4"), str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
    stamps = stamps_of(tmp_path / "o.mp4")
    assert len(stamps) >= 200 - 2 * 25
    assert stamps == [Fraction(index, 25) for index in range(len(stamps))]
    if with_sound:
        assert beep_after_first_picture(tmp_path / "o.mp4") == pytest.approx(1.0, abs=0.03)


def test_what_a_person_can_mend_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder does not exist"):
        VideoWriter(tmp_path / "none" / "o.mp4", 96, 64, TICKS, RATE)
    with pytest.raises(UserError, match="the source itself"):
        VideoWriter(tmp_path / "o.mp4", 96, 64, TICKS, RATE, audio_from=tmp_path / "o.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder.mp4"):
        write(tmp_path / "folder.mp4", [0])


@pytest.mark.parametrize("image", [np.zeros((64, 96), np.uint8), np.zeros((64, 96, 3), np.float32)])
def test_a_picture_that_is_not_rgb_bytes_is_refused_and_leaves_no_file(tmp_path: Path, image: Any) -> None:
    writer = VideoWriter(tmp_path / "o.mp4", 96, 64, TICKS, RATE)
    with pytest.raises(ValueError, match="expected uint8"):
        writer.write(image, 0)
    writer.close()
    writer.close()
    assert not (tmp_path / "o.mp4").exists()
    with pytest.raises(ValueError, match="closed"):
        writer.write(picture(0), 0)
