"""Preparation of frames on a device: what `prepare` makes of each, for batches of any sizes, without waiting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from msflow_stream.config.settings import InputSettings
from msflow_stream.model.fused.resize import Resampling
from msflow_stream.scenes import preparation as preparing
from msflow_stream.scenes.preparation import DevicePreparation, Small, prepare
from msflow_stream.types import Image
from msflow_stream.video.pixels import Planes
from msflow_stream.video.reading.colour import rgb_matrix
from tests.support.fake_gpu import CUDA, FakeGpu, fake_cuda

CHOSEN = InputSettings(resize="lanczos", size=(64, 96), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
AREA = CHOSEN.model_copy(update={"resize": "area"})
SIZES = ((120, 200), (64, 96), (90, 90), (120, 200), (32, 64))


def noise(seed: int, height: int, width: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


IMAGES = [noise(seed, *size) for seed, size in enumerate(SIZES)]


def prepared(preparation: DevicePreparation, images: list[Image], settings: InputSettings) -> Tensor:
    return preparation.batch([preparation.small(image, settings) for image in images], settings)


@pytest.mark.parametrize("resize", get_args(Resampling))
@pytest.mark.parametrize("count", [1, 2, 5])
def test_frames_of_many_sizes_become_what_each_becomes_by_itself(resize: Resampling, count: int) -> None:
    chosen = CHOSEN.model_copy(update={"resize": resize})
    found = prepared(DevicePreparation(), IMAGES[:count], chosen)
    tolerance = 1e-6 if resize == "area" else 2.01 / 255  # two grey levels: two values halfway between levels meet
    assert found.shape == (count, 3, *CHOSEN.size)
    for one, image in zip(found, IMAGES, strict=False):
        assert torch.allclose(one, prepare(image, chosen), atol=tolerance / 0.2)


def test_images_of_the_input_s_size_are_the_same_but_for_rounding() -> None:
    found = prepared(DevicePreparation(), IMAGES[1:2], CHOSEN)
    assert torch.allclose(found[0], prepare(IMAGES[1], CHOSEN), atol=1e-6)


@pytest.mark.parametrize("full", [False, True])
def test_every_frame_has_the_colours_of_its_own_source(full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    planes = [
        Planes(rng.integers(0, 256, (3, *AREA.size), dtype=np.uint8), rgb_matrix(matrix, full), (16, 235))
        for matrix in (1, 6, 9)
    ]
    found = DevicePreparation().batch([Small(one.values, one.matrix) for one in planes], AREA)
    for one, expected in zip(found, planes, strict=True):
        monkeypatch.setattr(preparing, "shrink", lambda *_, given=expected: given)
        assert torch.allclose(one, prepare(IMAGES[0], AREA), atol=2e-6)


def test_pixels_that_are_on_the_device_already_stand_between_others() -> None:
    preparation = DevicePreparation()
    smalls = [preparation.small(image, AREA) for image in IMAGES]
    expected = preparation.batch(smalls, AREA)
    for at in (0, 3):
        smalls[at] = Small(torch.from_numpy(smalls[at].values), smalls[at].matrix)
    assert torch.equal(preparation.batch(smalls, AREA), expected)


@pytest.mark.parametrize("given", [AREA, CHOSEN], ids=["area", "lanczos"])
def test_images_that_may_not_be_written_or_are_mirrored_are_taken_too(given: InputSettings) -> None:
    mirrored = IMAGES[0][:, ::-1]
    mirrored.flags.writeable = False
    found = prepared(DevicePreparation(), [mirrored], given)
    assert torch.equal(found, prepared(DevicePreparation(), [mirrored.copy()], given))


@pytest.mark.parametrize("given", [AREA, CHOSEN], ids=["area", "lanczos"])
def test_many_threads_prepare_as_one_does(given: InputSettings) -> None:
    preparation = DevicePreparation()
    images = [noise(seed, *SIZES[seed % len(SIZES)]) for seed in range(64)]
    smalls = [preparation.small(image, given) for image in images]
    batches = [smalls[at : at + 8] for at in range(0, 64, 8)]
    expected = [DevicePreparation().batch(batch, given) for batch in batches]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda image: preparation.small(image, given), images))
    with ThreadPoolExecutor(4) as pool:
        batches = [together[at : at + 8] for at in range(0, 64, 8)]
        found = list(pool.map(lambda batch: preparation.batch(batch, given), batches))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_preparations_of_sizes_long_unused_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "KEPT", 3)
    preparation = DevicePreparation()
    for height in range(40, 50):
        prepared(preparation, [np.zeros((height, 50, 3), np.uint8)], CHOSEN)
    assert len(preparation._made) == 3


@pytest.mark.parametrize("image", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_image_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="uint8 and H x W x 3"):
        DevicePreparation().small(image, CHOSEN)


@pytest.mark.parametrize("given", [AREA, CHOSEN], ids=["area", "lanczos"])
def test_nothing_waits_for_the_gpu(given: InputSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = preparing.Preparation
    preparation = DevicePreparation(CUDA)
    smalls = [preparation.small(image, given) for image in IMAGES]
    with FakeGpu() as gpu:
        monkeypatch.setattr(preparing, "Preparation", lambda *args: fake_cuda(made(*args)))
        found = preparation.batch(smalls, given)
    assert found.device == CUDA
    assert found.shape == (len(IMAGES), 3, *given.size)
    assert gpu.synchronisations == []
    uploads = sum(one.values.nbytes for one in smalls)
    assert uploads <= sum(gpu.uploads) <= uploads + 72 * len(IMAGES)
    assert len(gpu.uploads) == (2 if given is AREA else 5)  # values and matrices of planes; images, size by size
