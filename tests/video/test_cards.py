"""Graphics cards as decoders, as far as none is needed to see it: one trial, one context, frames that stay."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame

from msflow_stream.scenes import card_frames
from msflow_stream.scenes.card_frames import CardFrames
from msflow_stream.types import Image
from msflow_stream.video import cards
from msflow_stream.video import pixels as pixels_module
from msflow_stream.video.cards import Card, CardContexts, CardError, CardTrials, DecoderChoice, acceleration
from msflow_stream.video.motion import grey
from msflow_stream.video.pixels import DecodedPixels, sample, shrink
from msflow_stream.video.reading import video_reader
from msflow_stream.video.reading.colour import FrameConverter, chroma_siting, fetched
from msflow_stream.video.reading.decoder import Decoder
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import read_code, write_video

SIZE = (48, 64)
LAYOUTS = {"nv12": "yuv420p", "p010le": "yuv420p10le"}  # a card's, and the processor's that it stands for


def test_a_card_is_tried_once_however_many_threads_ask(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    def trial(index: int) -> str | None:
        sleep(0.05)
        tried.append(index)
        return "none is there" if index else None

    trials = CardTrials(trial)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(trials.fault, [0, 1] * 8))
        list(pool.map(lambda _: trials.say(1, logging.WARNING, "why not"), range(8)))
    assert sorted(tried) == [0, 1]
    assert found == [None, "none is there"] * 8
    assert [record.getMessage() for record in caplog.records] == ["the processor decodes (why not)"]


class Driver:
    """CUDA's driver, as far as contexts go."""

    def __init__(self, cards: int = 2) -> None:
        self.retained: list[int] = []
        self.current: list[int | None] = []
        self._cards = cards

    def cuInit(self, _: int) -> int:
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index
        return 0 if index < self._cards else 101

    def cuDevicePrimaryCtxRetain(self, context: Any, device: ctypes.c_int) -> int:
        self.retained.append(device.value)
        context._obj.value = 100 + device.value
        return 0

    def cuCtxPushCurrent_v2(self, context: ctypes.c_void_p) -> int:
        self.current.append(context.value)
        return 0

    def cuCtxPopCurrent_v2(self, _: Any) -> int:
        self.current.pop()
        return 0


def test_the_context_of_a_card_is_the_one_of_the_process_and_current_only_within_the_block() -> None:
    driver = Driver()
    contexts = CardContexts(lambda _: driver)
    for index in (1, 0, 1):
        with contexts.current(index):
            assert driver.current == [100 + index]
        assert driver.current == []
    assert driver.retained == [1, 0]


def test_a_card_that_is_not_there_or_no_driver_has_a_reason() -> None:
    with pytest.raises(CardError, match="CUDA error 101 of card 7"), CardContexts(lambda _: Driver()).current(7):
        pass

    def missing(_: str) -> None:
        raise OSError

    with pytest.raises(CardError, match="there is no driver"), CardContexts(missing).current(0):
        pass


def test_frames_stay_on_the_card_of_the_scene_in_the_context_that_is_current() -> None:
    chosen = acceleration(1)
    assert (chosen.device_id, chosen.is_hw_owned) == (1, True)
    assert chosen.options == {"primary_ctx": "0", "current_ctx": "1"}


def test_a_card_that_is_lost_after_its_trial_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cards, "CONTEXTS", CardContexts(lambda _: Driver(cards=0)))
    choice = DecoderChoice("gate", "cuda", Card(0), CardTrials(lambda _: None))
    for _ in range(2):
        with choice.opening() as found:
            assert found is None
    reason = "the CUDA device fails: CUDA error 101 of card 0"
    assert caplog.messages == [f"gate: decodes on the processor ({reason})"]


class Card0:
    """A card whose memory is the processor's: frames of its layouts count as being there, and are fetched by count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetches = 0
        monkeypatch.setattr(pixels_module, "is_on_card", lambda frame: frame.format.name in LAYOUTS)
        monkeypatch.setattr(pixels_module, "fetched", self._fetched)

    def _fetched(self, frame: VideoFrame) -> VideoFrame:
        self.fetches += 1
        return fetched(frame)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card0:
    return Card0(monkeypatch)


def smooth(height: int = 96, width: int = 128) -> Image:
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    waves = np.sin(9 * rows + 7 * columns), np.sin(5 * rows - 11 * columns), np.cos(13 * columns)
    return np.rint(127.5 + 90 * np.stack(waves, 2)).astype(np.uint8)


def pair(
    layout: str, image: Image, reading: CardFrames | None = None, color_range: int = 1
) -> tuple[DecodedPixels, DecodedPixels]:
    """A frame as a card decodes it, and as the processor does."""
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format=LAYOUTS[layout])
    frame.colorspace, frame.color_range = 1, color_range
    return (
        DecodedPixels(frame.reformat(format=layout), FrameConverter(card=Card(0, reading))),
        DecodedPixels(frame, FrameConverter()),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
def test_a_frame_is_fetched_once_and_only_when_somebody_looks_and_shows_the_same(
    card: Card0, layout: str, color_range: int
) -> None:
    there, here = pair(layout, smooth(), color_range=color_range)
    assert there.shape == here.shape
    assert there.nbytes == here.nbytes or layout == "p010le"  # the same bytes in another order
    there.anew()
    assert card.fetches == 0
    np.testing.assert_array_equal(there.image(), here.image())
    np.testing.assert_array_equal(sample(there), sample(here))
    for found, expected in zip(shrink(there, SIZE), shrink(here, SIZE), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(there.planar().to_ndarray(), here.planar().to_ndarray())
    assert card.fetches == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_small_is_made_on_the_card_and_the_frame_stays_there(card: Card0, layout: str) -> None:
    there, here = pair(layout, smooth(512, 768), CardFrames(torch.device("cpu")))
    found, expected = shrink(there, SIZE), shrink(here, SIZE)
    np.testing.assert_allclose(found.values.astype(int), expected.values, atol=1)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert found.luma == expected.luma
    np.testing.assert_allclose(grey(there).astype(int), grey(here), atol=2)  # a step of limited luma may be two
    if layout == "nv12":
        np.testing.assert_array_equal(sample(there), sample(here))
    assert card.fetches == 0


def test_a_frame_smaller_than_what_is_wanted_is_brought_up_by_the_processor(card: Card0) -> None:
    there, here = pair("nv12", smooth(32, 48), CardFrames(torch.device("cpu")))
    np.testing.assert_array_equal(shrink(there, SIZE).values, shrink(here, SIZE).values)
    assert card.fetches == 1


def test_a_frame_is_fetched_where_the_card_has_no_memory_left(card: Card0, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: VideoFrame) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(card_frames, "plane_tensors", full)
    there, here = pair("nv12", smooth(), CardFrames(torch.device("cpu")))
    np.testing.assert_array_equal(shrink(there, SIZE).values, shrink(here, SIZE).values)
    np.testing.assert_array_equal(sample(there), sample(here))
    assert card.fetches == 1
    assert CardFrames(torch.device("cpu")).small(pair("nv12", smooth())[0], SIZE) is None


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "expected"),
    [
        ("libx264", "mp4", "yuv420p", (-0.25, 0)),  # to the left, as H.264 has it where nothing is said
        ("libx264", "mp4", "yuv420p10le", (-0.25, 0)),
        ("mjpeg", "avi", "yuvj420p", (0, 0)),  # in the middle, as JFIF has it
    ],
)
def test_where_chroma_lies_is_seen(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, expected: tuple[float, float]
) -> None:
    with VideoReader(write_video(tmp_path / f"a.{suffix}", 2, codec=codec, pix_fmt=pix_fmt)) as reader:
        frame = next(iter(reader)).pixels.frame  # type: ignore[union-attr]  # it was decoded
    assert chroma_siting(frame) == expected


class FailingDecoder(Decoder):
    """A decoder on a card that fails, once in a file's life, before a frame of a number."""

    fails_at: int
    failures = 0

    def __iter__(self) -> Iterator[tuple[VideoFrame | None, int, int | None]]:
        for one in super().__iter__():
            if one[1] == self.fails_at and not type(self).failures:
                type(self).failures = 1
                raise CardError("the CUDA device fails: lost")
            yield one


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("fails_at", [0, 7, 23])
def test_where_a_card_fails_the_processor_goes_on_and_no_frame_is_lost_or_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails_at: int, every: int
) -> None:
    caplog.set_level(logging.INFO)
    path = write_video(tmp_path / "a.mp4", 24, size=(256, 192), b_frames=2)
    with VideoReader(path, every) as reader:
        expected = [one.earlier and one.earlier.image.tobytes() for one in reader]
    failing = type("Failing", (FailingDecoder,), {"fails_at": fails_at})
    monkeypatch.setattr(video_reader, "Decoder", failing)
    with VideoReader(path, every) as reader:
        frames = list(reader)
        assert (reader.decoder, reader.frames_read, reader.damaged) == ("cpu", 24, 0)
    assert failing.failures == 1  # type: ignore[attr-defined]  # it is a FailingDecoder
    assert [frame.index for frame in frames] == list(range(0, 24, every))
    assert [read_code(frame.image) for frame in frames] == list(range(0, 24, every))
    assert [frame.earlier and frame.earlier.image.tobytes() for frame in frames] == expected
    assert caplog.messages == ["a: decodes on the processor (the CUDA device fails: lost)"]
