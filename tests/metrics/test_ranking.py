from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from msflow_stream.metrics.ranking import StreamingAuroc, auroc

# A small pool makes ties; it holds both zeros, the smallest subnormal, the largest number and the infinities.
EDGES = st.sampled_from([-np.inf, -65504.0, -1.0, -(2.0**-24), -0.0, 0.0, 2.0**-24, 0.5, 1.0, 65504.0, np.inf])
VALUES = EDGES | st.floats(width=16, allow_nan=False)
LABELLED = st.lists(st.tuples(st.booleans(), VALUES), max_size=40)


def ordered_pairs(labels: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> float | None:
    """The definition: the share of (anomalous, normal) pairs in the right order, ties counted as half."""
    anomalous, normal = scores[labels][:, None], scores[~labels][None]
    if not anomalous.size or not normal.size:
        return None
    return float(np.mean((anomalous > normal) + 0.5 * (anomalous == normal)))


def arrays(labelled: list[tuple[bool, float]]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float16]]:
    return np.array([label for label, _ in labelled], bool), np.array([value for _, value in labelled], np.float16)


def streamed(labels: npt.ArrayLike, scores: npt.NDArray[np.float16]) -> float | None:
    stream = StreamingAuroc()
    stream.add(labels, scores)
    return stream.value()


@given(LABELLED)
def test_a_streaming_auroc_is_the_share_of_ordered_pairs(labelled: list[tuple[bool, float]]) -> None:
    labels, scores = arrays(labelled)
    assert streamed(labels, scores) == pytest.approx(ordered_pairs(labels, scores), abs=1e-12)


@pytest.mark.parametrize("levels", [2, 10, 2000])
def test_a_streaming_auroc_equals_scikit_learn_with_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scores = (rng.integers(-levels, levels, 20_000) / 7).astype(np.float16)
    labels = rng.random(20_000) < 0.2 + 0.3 * (scores > 0)
    assert streamed(labels, scores) == pytest.approx(roc_auc_score(labels, scores.astype(np.float64)), abs=1e-12)


@settings(max_examples=30)
@given(LABELLED, LABELLED)
def test_adding_in_parts_and_merging_equal_adding_all_at_once(
    first: list[tuple[bool, float]], second: list[tuple[bool, float]]
) -> None:
    parts, other = StreamingAuroc(), StreamingAuroc()
    parts.add(*arrays(first))
    other.add(*arrays(second))
    parts.merge(other)
    added = StreamingAuroc()
    added.add(*arrays(first))
    added.add(*arrays(second))
    assert parts.value() == added.value() == streamed(*arrays(first + second))


def test_both_zeros_tie() -> None:
    assert streamed([0, 1], np.array([-0.0, 0.0], np.float16)) == 0.5
    assert streamed([1, 0], np.array([-0.0, 0.0], np.float16)) == 0.5


def test_every_finite_float16_ranks_below_the_next_one() -> None:
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = np.unique(values[np.isfinite(values)])
    labels = np.arange(len(values)) >= len(values) // 2
    assert streamed(labels, values) == 1
    assert streamed(~labels, values) == 0


def test_a_map_and_its_mask_count_pixel_by_pixel_whatever_their_memory_layout() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 8, 10)).astype(np.float16)
    masks = rng.integers(0, 2, (3, 8, 10)).astype(np.uint8) * 255
    stream = StreamingAuroc()
    for anomaly_map, mask in zip(maps[:, ::2, ::-1], masks[:, ::2, ::-1], strict=True):
        stream.add(mask, anomaly_map)
    flags, scores = masks[:, ::2].ravel() != 0, maps[:, ::2].ravel().astype(np.float64)
    assert stream.value() == pytest.approx(roc_auc_score(flags, scores), abs=1e-12)


def test_the_counts_of_a_month_of_video_do_not_overflow() -> None:
    stream = StreamingAuroc()
    stream.add([0, 0, 1, 1], np.array([1, 3, 2, 4], np.float16))
    for _ in range(40):
        stream.merge(stream)  # doubles
    assert stream.value() == pytest.approx(0.75)


@given(st.lists(VALUES, max_size=10), st.booleans())
def test_auroc_is_undefined_where_only_one_label_occurs(values: list[float], label: bool) -> None:
    labels = [label] * len(values)
    assert streamed(labels, np.array(values, np.float16)) is None
    assert auroc(labels, values) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), max_size=30))
def test_auroc_is_the_share_of_ordered_pairs(labelled: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in labelled], bool)
    scores = np.array([value for _, value in labelled], float)
    assert auroc(labels, scores) == pytest.approx(ordered_pairs(labels, scores), abs=1e-12)


@pytest.mark.parametrize(("scores", "expected"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 0.5)])
def test_auroc_is_one_for_a_perfect_ranking_zero_for_a_reversed_and_a_half_for_none(
    scores: list[int], expected: float
) -> None:
    assert auroc([0, 0, 1, 1], scores) == expected
    assert streamed([0, 0, 1, 1], np.array(scores, np.float16)) == expected
