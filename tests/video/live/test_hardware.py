"""Decoding cameras by a graphics card, and what happens without one."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from msflow_stream.config.cameras import CameraSettings, Decode
from msflow_stream.video.cards import Card, CardTrials, DecoderChoice, try_card
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.reading.colour import FrameConverter
from tests.support.httpd import Pages
from tests.support.videos import coded_image, read_code, write_video

LEVELS = {"auto": logging.INFO, "cuda": logging.WARNING}
needs_no_card = pytest.mark.skipif(try_card(0) is None, reason="there is a CUDA device, and it would be used")


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
def test_without_a_card_the_processor_decodes_and_the_reason_is_said_once_for_all_cameras(
    wish: Decode, site: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trials = CardTrials()
    choices = [DecoderChoice(name, wish, Card(0), trials) for name in ("gate", "yard")]
    with site:
        for choice in (*choices, *choices):  # as after reconnects
            assert codes(site.url("a.ts"), choice) == (list(range(20)), "cpu")
    (record,) = [record for record in caplog.records if record.name.endswith("cards")]
    assert record.levelno == LEVELS[wish]
    assert record.getMessage() == f"the processor decodes ({choices[0].reason})"
    assert choices[0].reason == choices[1].reason == f"no CUDA device can be used: {try_card(0)}"


@pytest.mark.parametrize(("wish", "card"), [("cpu", Card(0)), ("cpu", None), ("auto", None)])
def test_the_processor_when_asked_for_or_when_the_scene_is_on_it_needs_no_reason(
    wish: Decode, card: Card | None, site: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with site:
        assert codes(site.url("a.ts"), DecoderChoice("gate", wish, card))[1] == "cpu"
    assert caplog.text == ""


def test_a_codec_that_the_card_does_not_decode_is_said_once_per_camera(caplog: pytest.LogCaptureFixture) -> None:
    choice = DecoderChoice("gate", "cuda")
    frame = VideoFrame(64, 48, "yuv420p")  # what FFmpeg falls back to
    assert [choice.used(frame, "ffv1"), choice.used(frame, "ffv1")] == ["cpu", "cpu"]
    assert [record.getMessage() for record in caplog.records] == [
        "gate: decodes on the processor (the CUDA device does not decode this kind of ffv1)"
    ]


@pytest.mark.parametrize(("layout", "same"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le")])
def test_pictures_in_the_layouts_of_cards_have_the_same_colours(layout: str, same: str) -> None:
    image = coded_image(5)
    image[:24, :, 0] //= 2
    frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format=same)
    to_rgb = FrameConverter().rgb
    np.testing.assert_array_equal(to_rgb(frame.reformat(format=layout)), to_rgb(frame))


def test_options_ask_for_the_card_where_the_scene_is_on_one() -> None:
    assert CameraSettings().decode == "auto"
