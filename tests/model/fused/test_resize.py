"""Preparation inside a network: what Pillow and `prepare` make of a frame."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from msflow_stream.config.settings import InputSettings
from msflow_stream.model.fused.resize import Banded, Preparation, Resampling, resampling_matrix
from msflow_stream.scenes.preparation import prepare

sides = st.integers(32, 128)


@given(
    frame=st.tuples(sides, sides),
    size=st.tuples(sides, sides),
    resampling=st.sampled_from(get_args(Resampling)),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_frames_become_what_prepare_makes_of_them_within_a_grey_level(
    frame: tuple[int, int], size: tuple[int, int], resampling: Resampling, seed: int
) -> None:
    assume(resampling != "area" or min(np.subtract(frame, size)) >= 0)  # that is Lanczos's, with other edges
    image = np.random.default_rng(seed).integers(0, 256, (*frame, 3), dtype=np.uint8)
    plain = InputSettings(size=size, resize=resampling, mean=(0, 0, 0), std=(1, 1, 1))
    found = Preparation(frame, size, resampling, *plain.normalisation)(torch.from_numpy(image)[None])[0] * 255
    expected = prepare(image, plain) * 255
    differs = (found - expected).abs()
    assert (differs > 1.01).float().mean() < 1e-4  # two values halfway between levels meet
    assert differs.max() < 2.01


def test_frames_that_are_too_small_for_means_over_areas_are_brought_up_as_prepare_does() -> None:
    rows, columns = np.mgrid[:40, :60]
    image = np.stack([4 * rows, 3 * columns, 2 * rows + columns], 2).astype(np.uint8)
    plain = InputSettings(size=(64, 96), mean=(0, 0, 0), std=(1, 1, 1))
    found = Preparation((40, 60), plain.size, "area", *plain.normalisation)(torch.from_numpy(image)[None])[0]
    difference = (found - prepare(image, plain))[:, 4:-4, 4:-4].abs() * 255  # edges are continued in other ways
    assert difference.max() < 1.5


def test_a_camera_s_frames_are_normalised_as_the_scene_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (270, 480, 3), dtype=np.uint8)
    chosen = InputSettings(size=(64, 96), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    module = Preparation((270, 480), chosen.size, chosen.resize, *chosen.normalisation)
    found = module(torch.from_numpy(np.stack([image, 255 - image])))
    for one, frame in zip(found, (image, 255 - image), strict=True):
        assert torch.allclose(one, prepare(frame, chosen), atol=1.01 / 255 / min(chosen.std))


def test_frames_of_the_input_s_size_are_not_changed() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    chosen = InputSettings(size=(64, 96), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    module = Preparation(chosen.size, chosen.size, chosen.resize, *chosen.normalisation)
    assert torch.allclose(module(torch.from_numpy(image)[None])[0], prepare(image, chosen), atol=1e-6)


@pytest.mark.parametrize("resampling", get_args(Resampling))
@pytest.mark.parametrize(("length", "wanted"), [(10, 10), (100, 7), (7, 100), (1, 5), (5, 1)])
def test_a_row_of_equal_pixels_stays_so(resampling: Resampling, length: int, wanted: int) -> None:
    assert np.allclose(resampling_matrix(length, wanted, resampling).sum(1), 1)


@pytest.mark.parametrize("resampling", get_args(Resampling))
@pytest.mark.parametrize(("length", "wanted"), [(1080, 256), (50, 64), (7, 100), (300, 33), (5, 1)])
def test_blocks_of_a_matrix_do_what_the_whole_does(resampling: Resampling, length: int, wanted: int) -> None:
    matrix = resampling_matrix(length, wanted, resampling)
    x = torch.rand(2, 3, length, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(matrix) @ x.double()
    assert torch.allclose(Banded(matrix, -2)(x).double(), expected, atol=1e-6)
    assert torch.allclose(Banded(matrix, -1)(x.mT).double(), expected.mT, atol=1e-6)


def test_blocks_leave_out_most_of_what_is_zero() -> None:
    matrix = resampling_matrix(1920, 256, "lanczos")
    weights = sum(part.numel() for part in Banded(matrix, -1).buffers())
    assert np.count_nonzero(matrix) < weights < matrix.size / 6
