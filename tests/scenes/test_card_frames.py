"""Frames in a card's memory become small there as they do on the processor, and go into batches from there."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame

from msflow_stream.config.settings import InputSettings
from msflow_stream.scenes import card_frames
from msflow_stream.scenes.card_frames import CardFrames, _shrunk, card_of, plane_tensors, shrink_planes
from msflow_stream.scenes.preparation import DevicePreparation, prepare
from msflow_stream.types import Image
from msflow_stream.video import pixels as pixels_module
from msflow_stream.video.pixels import DecodedPixels
from msflow_stream.video.reading.colour import FrameConverter
from tests.support.fake_gpu import CUDA, FakeGpu

CPU = torch.device("cpu")
MIDDLE = (0.0, 0.0)


def smooth(height: int, width: int) -> Image:
    rows, columns = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    waves = np.sin(90 * rows + 70 * columns), np.sin(50 * rows - 110 * columns), np.cos(130 * columns)
    return np.rint(127.5 + 90 * np.stack(waves, 2)).astype(np.uint8)


def decoded(layout: str, size: tuple[int, int] = (240, 320)) -> VideoFrame:
    frame = VideoFrame.from_ndarray(smooth(*size), format="rgb24").reformat(format="yuv420p")
    frame.colorspace, frame.color_range = 1, 1
    return frame if layout == "yuv420p" else frame.reformat(format=layout)


@pytest.mark.parametrize("layout", ["nv12", "p010le", "yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("size", [(240, 320), (224, 300), (128, 128), (112, 160), (37, 51)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16], ids=["float32", "float16, as on a card"])
def test_small_planes_are_those_of_the_processor_within_a_grey_level(
    layout: str, size: tuple[int, int], kind: torch.dtype
) -> None:
    frame, converter = decoded(layout), FrameConverter()
    found = shrink_planes(plane_tensors(frame), size, converter.siting(frame), kind).numpy().astype(int)
    np.testing.assert_allclose(found, converter.planes(frame, size), atol=1)


def test_float16_is_off_by_a_fifth_of_a_grey_level_at_most() -> None:
    values = torch.randint(0, 256, (3, 270, 480), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values[1] |= 192  # bright: its steps are the largest
    values[2] = 255
    half, single = (_shrunk(values.to(kind), (64, 96), MIDDLE).float() for kind in (torch.float16, torch.float32))
    assert (half - single).abs().max() < 0.2


def test_pixels_are_the_means_over_their_areas() -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 90, 130), np.uint8)
    found = shrink_planes([torch.from_numpy(one) for one in values], (31, 40), MIDDLE).numpy()
    expected = cv2.resize(values.transpose(1, 2, 0).astype(np.float32), (40, 31), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=0.51)


@pytest.mark.parametrize(("layout", "shapes"), [("nv12", [(48, 64), (24, 32, 2)]), ("yuv420p", [(48, 64), (24, 32)])])
def test_planes_are_the_frame_s_own_memory(layout: str, shapes: list[tuple[int, ...]]) -> None:
    frame = decoded(layout, (48, 64))
    planes = plane_tensors(frame)
    assert [tuple(one.shape) for one in planes[:2]] == shapes
    assert [one.data_ptr() for one in planes] == [plane.buffer_ptr for plane in frame.planes]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor counts as a card; what is fetched from it is a mistake."""
    monkeypatch.setattr(pixels_module, "is_on_card", lambda frame: frame.format.name == "nv12")
    monkeypatch.setattr(pixels_module, "fetched", lambda _: pytest.fail("a frame was fetched"))


@pytest.mark.usefixtures("card")
def test_frames_on_the_device_of_a_batch_stay_there_and_are_prepared_as_others_are() -> None:
    settings = InputSettings(size=(96, 128), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    there, here = (DecodedPixels(decoded(layout), FrameConverter()) for layout in ("nv12", "yuv420p"))
    preparation = DevicePreparation()
    smalls = [preparation.small(one, settings) for one in (there, here)]
    assert [isinstance(one.values, torch.Tensor) for one in smalls] == [True, False]
    found = preparation.batch(smalls, settings)
    expected = prepare(here, settings)
    step = 2.2 / 255 / 0.2  # of a grey level of chroma, in blue, by the smallest deviation
    torch.testing.assert_close(found[1], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0], expected, atol=2 * step, rtol=0)
    assert (found[0] - expected).abs().mean() < step / 20


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(("size", "device"), [((240, 322), CPU), ((96, 128), torch.device("cuda", 1))])
def test_frames_that_are_smaller_or_elsewhere_are_the_processor_s(size: tuple[int, int], device: torch.device) -> None:
    assert CardFrames(device).small(DecodedPixels(decoded("nv12"), FrameConverter()), size) is None


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    card_frames._weights.cache_clear()
    with FakeGpu() as gpu:
        yield gpu
    card_frames._weights.cache_clear()  # fake ones


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_the_host_waits_for_nothing_once_the_matrices_of_a_size_are_there(gpu: FakeGpu, kind: torch.dtype) -> None:
    planes = [torch.empty(1080, 1920, dtype=kind, device=CUDA), torch.empty(540, 960, 2, dtype=kind, device=CUDA)]
    shrink_planes(planes, (512, 512), (-0.25, 0.0))
    gpu.begin()
    small = shrink_planes(planes, (512, 512), (-0.25, 0.0))
    assert (tuple(small.shape), small.dtype, small.device) == ((3, 512, 512), torch.uint8, CUDA)
    assert gpu.synchronisations == []


def test_the_card_of_a_device_has_its_number() -> None:
    assert card_of(CPU) is None
    for device, index in (("cuda", 0), ("cuda:1", 1)):
        card = card_of(torch.device(device))
        assert card is not None
        assert card.index == index
