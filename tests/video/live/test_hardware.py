"""Decoding by a graphics card, and what happens without one."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from msflow_stream.config.cameras import CameraSettings, Decode
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.live.open_camera import DecoderChoice
from msflow_stream.video.reading.colour import FrameConverter
from tests.support.httpd import Pages
from tests.support.videos import coded_image, read_code, write_video

LEVELS = {"auto": logging.INFO, "cuda": logging.WARNING}


def has_card() -> bool:
    try:
        HWAccel("cuda").create(Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError):
        return False
    return True


needs_no_card = pytest.mark.skipif(has_card(), reason="there is a CUDA device, and it would be used")
needs_card = pytest.mark.skipif(not has_card(), reason="needs a CUDA device")


@pytest.fixture
def site(tmp_path: Path) -> Pages:
    write_video(tmp_path / "a.ts", 30, size=(256, 192))
    return Pages(tmp_path)


def codes(url: str, choice: DecoderChoice) -> tuple[list[int | None], str]:
    connection, to_rgb, seen = Connection(url, choice=choice), FrameConverter().rgb, []
    try:
        for arrival in connection:
            seen.append(read_code(to_rgb(arrival.frame)))
            if len(seen) == 20:
                break
        return seen, connection.decoder
    finally:
        connection.close()


@needs_no_card
@pytest.mark.parametrize("wish", ["auto", "cuda"])
def test_without_a_card_the_processor_decodes_and_the_reason_is_said_once(
    wish: Decode, site: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    choice = DecoderChoice("gate", wish)
    with site:
        for _ in range(3):  # as after reconnects
            assert codes(site.url("a.ts"), choice) == (list(range(20)), "cpu")
    (record,) = [record for record in caplog.records if record.name.endswith("open_camera")]
    assert record.levelno == LEVELS[wish]
    assert record.getMessage() == f"gate: decodes on the processor ({choice.reason})"
    assert choice.reason is not None
    assert choice.reason.startswith("no CUDA device can be used: ")


def test_the_processor_when_asked_for_needs_no_reason(site: Pages, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with site:
        assert codes(site.url("a.ts"), DecoderChoice("gate", "cpu"))[1] == "cpu"
    assert caplog.text == ""


@needs_card
def test_with_a_card_the_pictures_are_the_same(site: Pages) -> None:
    with site:
        assert codes(site.url("a.ts"), DecoderChoice("gate", "cuda")) == (list(range(20)), "cuda")


class Card:
    """A card as PyAV shows it, for decisions that no real one is needed for."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def create(self, codec: Codec) -> Card:
        return self


def test_a_codec_that_the_card_does_not_decode_is_said_once_per_camera(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("msflow_stream.video.live.open_camera.HWAccel", Card)
    choice = DecoderChoice("gate", "cuda")
    assert choice.acceleration() is not None
    for context in (
        SimpleNamespace(is_hwaccel=False, pix_fmt="yuv420p", name="ffv1"),  # no card decodes it
        SimpleNamespace(is_hwaccel=True, pix_fmt="yuv422p", name="h264"),  # this kind of it not
    ):
        assert choice.used(context) == "cpu"  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "gate: decodes on the processor (the CUDA device does not decode this kind of ffv1)"
    ]
    assert choice.used(SimpleNamespace(is_hwaccel=True, pix_fmt="cuda", name="h264")) == "cuda"  # type: ignore[arg-type]


@pytest.mark.parametrize(("layout", "same"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le")])
def test_pictures_in_the_layouts_of_cards_have_the_same_colours(layout: str, same: str) -> None:
    image = coded_image(5)
    image[:24, :, 0] //= 2
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format=same)
    to_rgb = FrameConverter().rgb
    np.testing.assert_array_equal(to_rgb(frame.reformat(format=layout)), to_rgb(frame))


def test_options_ask_for_the_card_where_there_is_one() -> None:
    assert CameraSettings().decode == "auto"
