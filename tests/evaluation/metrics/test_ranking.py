from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from msflow_stream.evaluation.metrics.ranking import StreamingAuroc, auroc, average_precision, f1_max

# A small pool makes ties; it holds both zeros, the smallest subnormal, the largest number and the infinities.
EDGES = st.sampled_from([-np.inf, -65504.0, -1.0, -(2.0**-24), -0.0, 0.0, 2.0**-24, 0.5, 1.0, 65504.0, np.inf])
VALUES = EDGES | st.floats(width=16, allow_nan=False)
LABELLED = st.lists(st.tuples(st.booleans(), VALUES), max_size=40)
FEW_LEVELS = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), max_size=30)


def ordered_pairs(labels: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> float | None:
    """The definition: the share of (anomalous, normal) pairs in the right order, ties counted as half."""
    anomalous, normal = scores[labels][:, None], scores[~labels][None]
    if not anomalous.size or not normal.size:
        return None
    return float(np.mean((anomalous > normal) + 0.5 * (anomalous == normal)))


def precision_by_recall(labels: npt.NDArray[np.bool_], scores: npt.NDArray[Any]) -> float | None:
    """The definition: over the distinct scores from the highest down, the recall gained times the precision there."""
    if not labels.any():
        return None
    result, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        found = scores >= threshold
        now = (found & labels).sum() / labels.sum()
        result += (now - recall) * (found & labels).sum() / found.sum()
        recall = now
    return float(result)


def arrays(labelled: list[tuple[bool, float]]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float16]]:
    return np.array([label for label, _ in labelled], bool), np.array([value for _, value in labelled], np.float16)


def stream_of(labels: npt.ArrayLike, scores: npt.ArrayLike) -> StreamingAuroc:
    stream = StreamingAuroc()
    stream.add(labels, scores)
    return stream


def streamed(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    return stream_of(labels, scores).value()


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


@given(LABELLED)
def test_a_streaming_average_precision_is_that_of_all_distinct_thresholds(labelled: list[tuple[bool, float]]) -> None:
    labels, scores = arrays(labelled)
    expected = precision_by_recall(labels, scores)
    assert stream_of(labels, scores).average_precision() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("levels", [2, 10, 2000])
def test_streaming_average_precision_and_roc_equal_scikit_learn_with_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scores = (rng.integers(-levels, levels, 20_000) / 7).astype(np.float16)
    labels = rng.random(20_000) < 0.02 + 0.1 * (scores > 0)
    stream, exact = stream_of(labels, scores), scores.astype(np.float64)
    assert stream.average_precision() == pytest.approx(average_precision_score(labels, exact), abs=1e-12)
    curve = stream.roc()
    assert curve is not None
    false, true, _ = roc_curve(labels, exact, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, false, atol=1e-12)
    np.testing.assert_allclose(curve.y, true, atol=1e-12)
    assert curve.mean(1) == pytest.approx(stream.value(), abs=1e-12)


def test_rounding_to_float16_moves_the_auroc_by_at_most_half_the_pairs_that_it_makes_equal() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(2000) < 0.3
    scores = 1 - np.exp(-rng.gamma(2, 4, 2000) - 2 * labels)  # crowd below 1, where float16 steps are coarse
    anomalous, normal = scores[labels][:, None], scores[~labels][None]
    rounded = anomalous.astype(np.float16) == normal.astype(np.float16)
    made_equal = float(np.mean(rounded & (anomalous != normal)))
    found, exact = streamed(labels, scores), auroc(labels, scores)
    assert found is not None
    assert exact is not None
    assert found != exact
    assert 0 < abs(found - exact) <= made_equal / 2


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
    assert parts.average_precision() == stream_of(*arrays(first + second)).average_precision()


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
    assert stream_of(labels, np.array(values, np.float16)).roc() is None
    assert auroc(labels, values) is None


@given(FEW_LEVELS)
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


@given(FEW_LEVELS)
def test_average_precision_is_that_of_all_distinct_thresholds(labelled: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in labelled], bool)
    scores = np.array([value for _, value in labelled], float)
    assert average_precision(labels, scores) == pytest.approx(precision_by_recall(labels, scores), abs=1e-12)


@settings(max_examples=50)  # scikit-learn takes its time
@given(FEW_LEVELS.filter(lambda labelled: any(label for label, _ in labelled)))
def test_f1_max_is_the_best_of_all_thresholds_at_the_highest_that_reaches_it(labelled: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in labelled], bool)
    scores = np.array([value for _, value in labelled], float)
    reached = {threshold: float(f1_score(labels, scores >= threshold)) for threshold in scores.tolist()}
    found = f1_max(labels, scores)
    assert found is not None
    assert found.value == pytest.approx(max(reached.values()), abs=1e-12)
    assert found.threshold == max(
        t for t, f1 in reached.items() if f1 == pytest.approx(max(reached.values()), abs=1e-12)
    )


@given(st.lists(VALUES, max_size=10))
def test_average_precision_and_f1_are_undefined_where_nothing_is_anomalous(values: list[float]) -> None:
    labels = [False] * len(values)
    assert average_precision(labels, values) is None
    assert f1_max(labels, values) is None
    assert stream_of(labels, np.array(values, np.float16)).average_precision() is None


def test_a_perfect_ranking_has_an_f1_of_one_at_the_lowest_anomalous_score() -> None:
    assert f1_max([0, 1, 0, 1], [1, 5, 2, 7]) == (1, 5)
    assert average_precision([0, 1, 0, 1], [1, 5, 2, 7]) == 1


def test_the_counts_keep_their_memory_whatever_is_added() -> None:
    def bytes_of(stream: StreamingAuroc) -> int:
        return len(pickle.dumps(stream))

    stream = StreamingAuroc()
    empty = bytes_of(stream)
    rng = np.random.default_rng(0)
    for _ in range(20):
        stream.add(rng.integers(0, 2, (64, 64)), rng.normal(size=(64, 64)))
    assert bytes_of(stream) == empty < 2 * 2**20
