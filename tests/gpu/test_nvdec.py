"""A card that decodes: the same frames as the processor's, which stay in its memory, beside what PyTorch does there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="a machine without PyAV decodes nothing")

from msflow_stream.config.settings import InputSettings
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scenes.preparation import DevicePreparation, prepare
from msflow_stream.types import Frame
from msflow_stream.video import pixels as pixels_module
from msflow_stream.video.cards import Card, DecoderChoice, try_card
from msflow_stream.video.live.connection import Connection
from msflow_stream.video.pixels import DecodedPixels, shrink
from msflow_stream.video.reading.colour import fetched, is_on_card
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.httpd import Pages
from tests.support.videos import read_code, write_video

DEVICE = torch.device("cuda", 0)
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(torch.cuda.is_available() and try_card(0) is not None, reason="the CUDA device does not decode"),
]
KINDS = [("libx264", "yuv420p"), ("libx265", "yuv420p"), ("libx265", "yuv420p10le")]
FRAMES, SIZE, SMALL = 24, (512, 384), (96, 128)
MOST_MEMORY = 96 * 2**20  # of one more connection: surfaces, no context of its own


@pytest.fixture(scope="module")
def card() -> Card:
    torch.ones(1, device=DEVICE)  # PyTorch is at work before the first frame is decoded
    found = card_of(DEVICE)
    assert found is not None
    return found


@pytest.fixture(params=KINDS, ids=["h264", "hevc", "hevc of 10 bits"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    codec, pix_fmt = request.param
    return write_video(tmp_path / "a.mp4", FRAMES, SIZE, codec=codec, pix_fmt=pix_fmt, b_frames=2)


def read(path: Path, card: Card | None, every: int = 1) -> list[Frame]:
    with VideoReader(path, every, decode="cpu" if card is None else "cuda", card=card) as reader:
        frames = list(reader)
        assert reader.decoder == ("cpu" if card is None else "cuda")
        assert (reader.frames_read, reader.damaged) == (FRAMES, 0)
    return frames


def decoded(frame: Frame) -> DecodedPixels:
    assert isinstance(frame.pixels, DecodedPixels)
    return frame.pixels


@pytest.mark.parametrize("every", [1, 3])
def test_frames_are_the_processor_s_to_the_bit_and_keep_their_indices(path: Path, card: Card, every: int) -> None:
    found, expected = read(path, card, every), read(path, None, every)
    assert [(one.index, one.pts) for one in found] == [(one.index, one.pts) for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert read_code(one.image) == one.index


def test_small_planes_and_motion_s_greys_are_made_on_the_card_within_a_grey_level(
    path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(path, None)
    monkeypatch.setattr(pixels_module, "fetched", lambda _: pytest.fail("a frame was fetched"))
    for one, other in zip(read(path, card), expected, strict=True):
        assert is_on_card(decoded(one).frame)
        found, wanted = shrink(one.pixels, SMALL), shrink(other.pixels, SMALL)
        np.testing.assert_allclose(found.values.astype(int), wanted.values, atol=1)
        np.testing.assert_array_equal(found.matrix, wanted.matrix)
        assert (one.earlier is None) == (other.earlier is None)
        if one.earlier is not None and other.earlier is not None:
            np.testing.assert_allclose(one.earlier.image.astype(int), other.earlier.image, atol=2)


def test_only_frames_that_somebody_looks_at_are_fetched(
    path: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches: list[int] = []

    def counted(frame):  # type: ignore[no-untyped-def]
        fetches.append(1)
        return fetched(frame)

    monkeypatch.setattr(pixels_module, "fetched", counted)
    frames = read(path, card, every=4)
    assert not fetches
    for _ in range(2):
        assert frames[1].image.shape == (SIZE[1], SIZE[0], 3)
    assert len(fetches) == 1


@pytest.mark.parametrize("side", [False, True], ids=["default stream", "another stream"])
def test_batches_are_prepared_from_the_card_s_memory_in_any_stream(path: Path, card: Card, side: bool) -> None:
    settings = InputSettings(size=SMALL, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    preparation, expected = DevicePreparation(DEVICE), [prepare(one.pixels, settings) for one in read(path, None)]
    with torch.cuda.stream(torch.cuda.Stream(DEVICE) if side else torch.cuda.default_stream(DEVICE)):
        found = []
        with VideoReader(path, decode="cuda", card=card) as reader:
            for frame in reader:  # none is held: its memory is decoded into again
                found.append(preparation.batch([preparation.small(frame.pixels, settings)], settings)[0])
        result = torch.stack(found).cpu()
    torch.testing.assert_close(result, torch.stack(expected), atol=2.2 * 2 / 255 / 0.2, rtol=0)


def test_a_camera_is_decoded_there_too(tmp_path: Path, card: Card) -> None:
    write_video(tmp_path / "a.ts", FRAMES, SIZE)
    site = Pages(tmp_path)
    with site:
        connection = Connection(site.url("a.ts"), choice=DecoderChoice("gate", "auto", card))
        try:
            assert connection.decoder == "cuda"
            assert is_on_card(next(iter(connection)).frame)
        finally:
            connection.close()


def test_a_connection_takes_surfaces_and_no_context(
    tmp_path: Path, card: Card, record_property: Callable[[str, object], None]
) -> None:
    path = write_video(tmp_path / "a.mp4", 4, (1920, 1080))
    readers = [VideoReader(path, decode="cuda", card=card)]  # the first loads the library
    before = torch.cuda.mem_get_info(DEVICE)[0]
    try:
        readers += [VideoReader(path, decode="cuda", card=card) for _ in range(4)]
        each = (before - torch.cuda.mem_get_info(DEVICE)[0]) / 4
    finally:
        for reader in readers:
            reader.close()
    record_property("MiB of a connection at 1920 x 1080", round(each / 2**20))
    assert each < MOST_MEMORY


def test_what_pytorch_computes_meanwhile_is_not_disturbed(path: Path, card: Card) -> None:
    values = torch.randn(512, 512, device=DEVICE)
    expected = (values @ values).cpu()
    for frame in read(path, card):
        shrink(frame.pixels, SMALL)
        assert torch.equal((values @ values).cpu(), expected)
    assert torch.cuda.current_device() == 0
