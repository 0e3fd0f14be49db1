from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.ndimage import convolve1d
from sklearn.metrics import roc_auc_score

from msflow_stream.evaluation.metrics.frames import SIGMA, FrameAuroc, Frames, LiteratureAuroc, spread

LENGTH = 24
SCORED = st.sets(st.integers(0, LENGTH - 1)).map(sorted)


def series(index: list[int]) -> list[float]:
    """A value that tells its frame."""
    return [100.0 + i for i in index]


@given(SCORED)
def test_sampled_counts_the_scored_frames_with_their_own_values(index: list[int]) -> None:
    counted, values = spread(index, {"paper": series(index)}, LENGTH, "sampled")
    assert counted.tolist() == index
    assert values["paper"].tolist() == series(index)


@given(SCORED)
def test_all_counts_every_frame_from_the_first_scored_one_with_the_newest_score(index: list[int]) -> None:
    counted, values = spread(index, {"paper": series(index)}, LENGTH, "all")
    expected = [max(i for i in index if i <= frame) for frame in range(LENGTH) if any(i <= frame for i in index)]
    assert counted.tolist() == [frame for frame in range(LENGTH) if index and frame >= index[0]]
    assert values["paper"].tolist() == series(expected)


@pytest.mark.parametrize("frames", ["sampled", "all"])
def test_every_series_is_spread_alike_under_its_own_name(frames: Frames) -> None:
    _, values = spread([0, 5], {"paper": [1, 2], "paper smoothed": [10, 20]}, 7, frames)
    assert list(values) == ["paper", "paper smoothed"]
    assert (values["paper smoothed"] == 10 * values["paper"]).all()


@settings(max_examples=30)  # scikit-learn takes its time
@given(
    st.integers(1, 6),
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=30), min_size=1, max_size=3),
    st.sampled_from(["sampled", "all"]),
)
def test_frame_auroc_equals_scikit_learn_over_the_counted_frames(
    every: int, clips: list[list[int]], frames: Frames
) -> None:
    rng = np.random.default_rng(every)
    result = FrameAuroc(frames)
    labels_of: list[list[int]] = []
    scores_of: list[list[float]] = []
    for number, labels in enumerate(clips):
        index = list(range(0, len(labels), every))
        scores = rng.integers(0, 4, len(index)).astype(float)
        result.add(f"clip{number}", labels, index, {"paper": scores.tolist(), "reversed": (-scores).tolist()})
        newest = [scores[frame // every] for frame in range(len(labels))]
        step = every if frames == "sampled" else 1
        labels_of.append(labels[::step])
        scores_of.append(newest[::step])

    def expected(labels: list[int], scores: list[float]) -> float | None:
        return float(roc_auc_score(labels, scores)) if len(set(labels)) == 2 else None

    alone = {f"clip{i}": expected(labels_of[i], scores_of[i]) for i in range(len(clips))}
    pooled = expected(list(chain.from_iterable(labels_of)), list(chain.from_iterable(scores_of)))
    assert {clip: values["paper"] for clip, values in result.clips().items()} == pytest.approx(alone)
    assert result.pooled()["paper"] == pytest.approx(pooled)
    both = [value for value in alone.values() if value is not None]
    assert result.macro()["paper"] == pytest.approx(sum(both) / len(both) if both else None)
    assert result.pooled()["reversed"] == pytest.approx(None if pooled is None else 1 - pooled)
    assert result.counts() == (sum(map(len, labels_of)), sum(map(sum, labels_of)))
    assert result.counts("clip0") == (len(labels_of[0]), sum(labels_of[0]))


def test_a_clip_of_one_label_has_no_auroc_but_counts_in_the_pool() -> None:
    result = FrameAuroc()
    assert not result.labelled
    result.add("normal", [0, 0, 0], [0, 1, 2], {"paper": [1, 2, 3]})
    result.add("violation", [1, 1], [0, 1], {"paper": [4, 2]})
    assert result.labelled
    assert result.clips() == {"normal": {"paper": None}, "violation": {"paper": None}}
    assert result.macro() == {"paper": None}
    assert result.pooled()["paper"] == pytest.approx(4.5 / 6)  # 4 beats all three; 2 beats 1 and ties with 2


def test_macro_counts_clips_alike_however_long_and_leaves_out_those_of_one_label() -> None:
    result = FrameAuroc()
    result.add("short", [0, 1], [0, 1], {"paper": [1, 2]})  # perfect
    result.add("long", [0, 1] * 50, list(range(100)), {"paper": [7.0] * 100})  # all tie
    result.add("normal", [0, 0], [0, 1], {"paper": [9, 9]})
    assert result.macro() == {"paper": pytest.approx(0.75)}


def test_any_nonzero_label_is_anomalous() -> None:
    result = FrameAuroc()
    result.add("clip", np.array([0, 255, 2, 0], np.uint8), [0, 1, 2, 3], {"paper": [0, 1, 1, 0]})
    assert result.pooled() == {"paper": 1.0}
    assert result.counts() == (4, 2)


def test_frames_before_the_first_scored_one_do_not_count() -> None:
    result = FrameAuroc("all")
    result.add("clip", [1, 1, 0, 1], [2], {"paper": [5.0]})
    assert result.counts() == (2, 1)


@settings(max_examples=30)
@given(st.integers(1, 6), st.lists(st.integers(13, 60), min_size=1, max_size=3), st.floats(0.5, 8))
def test_the_literature_s_auroc_is_that_of_smoothed_and_stretched_scores_of_all_frames(
    every: int, lengths: list[int], sigma: float
) -> None:
    rng = np.random.default_rng(every)
    result = LiteratureAuroc(sigma)
    all_labels, all_scores = [], []
    for length in lengths:
        index = np.arange(0, length, every)
        labels, scores = rng.integers(0, 2, length), rng.normal(size=len(index)).tolist()
        result.add(labels, index.tolist(), {"paper": scores})
        frames = np.arange(length)
        joined = interp1d(index, scores, bounds_error=False, fill_value=(scores[0], scores[-1]))(frames)
        reach = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
        weights = np.exp(-(reach**2) / (2 * sigma**2))
        smooth = convolve1d(joined, weights / weights.sum(), mode="reflect")
        all_labels.append(labels)
        all_scores.append((smooth - smooth.min()) / np.ptp(smooth))
    labels = np.concatenate(all_labels)
    expected = roc_auc_score(labels, np.concatenate(all_scores)) if 0 < labels.sum() < len(labels) else None
    assert result.pooled() == {"paper": pytest.approx(expected)}


def test_the_literature_s_auroc_stretches_each_clip_and_frames_of_equal_scores_are_0() -> None:
    result = LiteratureAuroc(sigma=0.1)
    result.add([0, 0, 0, 0], [0, 1, 2, 3], {"paper": [900.0] * 4})  # higher than all, and as normal as can be
    result.add([0, 0, 1, 1], [0, 1, 2, 3], {"paper": [1.0, 1.0, 2.0, 3.0]})
    assert result.pooled() == {"paper": 1.0}
    assert LiteratureAuroc().sigma == SIGMA == 3.0
