from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import auc, roc_auc_score

from msflow_stream.evaluation.metrics.ranking import StreamingAupro

Images = list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]


def streamed(images: Images) -> StreamingAupro:
    result = StreamingAupro()
    for mask, anomaly_map in images:
        result.add(mask, anomaly_map)
    return result


def every_threshold(images: Images, limit: float) -> float | None:
    """AUPRO as it is defined: a loop over all distinct values, with the regions of another library."""
    masks, maps = np.stack([mask for mask, _ in images]) != 0, np.stack([values for _, values in images])
    regions = []
    for image, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(image, labels == number + 1) for number in range(count)]
    if not regions or masks.all():
        return None
    pro, fpr = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        found = maps >= threshold
        pro.append(float(np.mean([found[image][inside].mean() for image, inside in regions])))
        fpr.append(float(found[~masks].mean()))
    last = max(i for i, rate in enumerate(fpr) if rate <= limit)
    x, y = fpr[: last + 1], pro[: last + 1]
    if last + 1 < len(fpr):
        share = (limit - fpr[last]) / (fpr[last + 1] - fpr[last])
        x, y = [*x, limit], [*y, pro[last] + share * (pro[last + 1] - pro[last])]
    return float(auc(x, y)) / limit if len(x) > 1 else 0.0


def random_images(seed: int, count: int, size: int, levels: int, density: float) -> Images:
    rng = np.random.default_rng(seed)
    masks = (rng.random((count, size, size)) < density).astype(np.uint8) * 255
    maps = (rng.integers(-levels, levels, masks.shape) / 3 + (masks > 0) * rng.integers(0, 2)).astype(np.float16)
    return list(zip(masks, maps, strict=True))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.integers(2, 9),
    st.sampled_from([1, 3, 500]),
    st.sampled_from([0, 0.05, 0.3, 1]),
    st.sampled_from([0.05, 0.3, 1.0]),
)
def test_aupro_equals_a_loop_over_all_thresholds(
    seed: int, count: int, size: int, levels: int, density: float, limit: float
) -> None:
    images = random_images(seed, count, size, levels, density)
    assert streamed(images).value(limit) == pytest.approx(every_threshold(images, limit), abs=1e-9)


def test_aupro_of_smooth_maps_equals_a_loop_over_all_thresholds() -> None:
    rng = np.random.default_rng(1)
    images: Images = []
    for number in range(4):
        mask = np.zeros((48, 64), bool)
        if number:
            mask[5 : 9 + number, 10:20] = mask[30:33, 40:41] = True
        noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), 2)
        images.append((mask, (noise + 0.4 * mask).astype(np.float16)))
    assert streamed(images).value() == pytest.approx(every_threshold(images, 0.3), abs=1e-9)


def test_with_regions_of_one_pixel_aupro_is_the_partial_auroc() -> None:
    rng = np.random.default_rng(2)
    mask = np.zeros((40, 40), bool)
    mask[::4, ::4] = True
    values = (rng.normal(size=mask.shape) + mask).round(1).astype(np.float16)
    result, labels, scores = streamed([(mask, values)]), mask.ravel(), values.ravel().astype(float)
    assert result.value(1.0) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    standardised = roc_auc_score(labels, scores, max_fpr=0.3)  # 0.5 for chance (0.3 / 2 here), 1 for perfect
    assert result.value(0.3) == pytest.approx(0.15 + (2 * standardised - 1) * (1 - 0.15), abs=1e-9)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:10, :10] = mask[15, 15] = True
    values = np.where(mask, 2.0, 1.0)
    assert streamed([(mask, values)]).value() == 1
    values[15, 15] = 0  # missed, until every normal pixel is above the threshold
    assert streamed([(mask, values)]).value() == pytest.approx(0.5)
    values[15, 15], values[:10, :10] = 2, 0
    assert streamed([(mask, values)]).value() == pytest.approx(0.5)


def test_a_map_that_tells_nothing_has_the_triangle_below_the_diagonal() -> None:
    mask = np.eye(8, dtype=bool)
    assert streamed([(mask, np.ones((8, 8)))]).value(0.3) == pytest.approx(0.15)


def test_diagonal_neighbours_are_one_region() -> None:
    mask = np.zeros((6, 6), bool)
    mask[0, 0] = mask[1, 1] = mask[5, 5] = True
    values = np.zeros((6, 6))
    values[5, 5] = 1  # one region of two; it would be one of three with 4-neighbours
    curve = streamed([(mask, values)]).curve()
    assert curve is not None
    assert list(zip(curve.x, curve.y, strict=True)) == [(0, 0), (0, 0.5), (1, 1)]


def test_images_without_regions_count_for_the_false_positive_rate() -> None:
    mask, values = np.array([[1, 0]]), np.array([[1.0, 0.0]])
    nothing = np.zeros((1, 2))
    alone, with_false = streamed([(mask, values)]), streamed([(mask, values), (nothing, np.array([[2.0, 0.0]]))])
    assert alone.value() == 1
    assert with_false.value() == pytest.approx(0)  # one of three normal pixels comes first: found at a rate of 1/3
    assert with_false.value(0.5) == pytest.approx((1 / 2 - 1 / 3) / 0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_adding_in_parts_and_merging_equal_adding_all(seed: int) -> None:
    images = random_images(seed, 4, 8, 5, 0.2)
    parts = streamed(images[:1])
    parts.merge(streamed(images[1:]))
    assert parts.value() == pytest.approx(streamed(images).value(), abs=1e-12)


@pytest.mark.parametrize("images", [[], [(np.zeros((4, 4)), np.ones((4, 4)))], [(np.ones((4, 4)), np.ones((4, 4)))]])
def test_aupro_is_undefined_without_regions_or_without_normal_pixels(images: Images) -> None:
    assert streamed(images).value() is None
    assert streamed(images).curve() is None


def test_memory_is_the_same_whatever_is_added() -> None:
    assert len(pickle.dumps(streamed(random_images(0, 30, 32, 500, 0.1)))) == len(pickle.dumps(StreamingAupro()))
