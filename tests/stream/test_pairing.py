from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.stream.pairing import WAITING_BYTES, with_scores
from msflow_stream.types import Frame, FrameScore

PICTURE = np.zeros((2, 2, 3), np.uint8)
MAP = np.zeros((1, 1), np.float16)
INDICES = st.sets(st.integers(0, 60), max_size=40).map(sorted)  # some frames never arrive
EVERY, BATCH = st.integers(1, 7), st.integers(1, 6)


def frames(indices: Iterable[int], picture: npt.NDArray[np.uint8] = PICTURE) -> Iterator[Frame]:
    return (Frame("gate", index, index, index / 25, None, picture) for index in indices)


class Scoring:
    """Scores a frame with its own index and remembers which batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, batch: Sequence[Frame]) -> list[FrameScore]:
        self.batches.append([frame.index for frame in batch])
        return [
            FrameScore(frame.source, "yard", frame.index, frame.time, None, float(frame.index), 0, 0, MAP)
            for frame in batch
        ]


def paired(indices: Sequence[int], every: int, batch: int) -> list[tuple[int, int | None]]:
    pairs = with_scores(frames(indices), Scoring(), every, batch)
    return [(frame.index, None if score is None else score.index) for frame, score in pairs]


@given(INDICES, EVERY, BATCH)
def test_every_frame_comes_once_in_order_with_the_newest_score_up_to_it(
    indices: list[int], every: int, batch: int
) -> None:
    sampled = [index for index in indices if index % every == 0]
    expected = [(index, max((i for i in sampled if i <= index), default=None)) for index in indices]
    assert paired(indices, every, batch) == expected


@given(INDICES, EVERY, BATCH, BATCH)
def test_pairs_do_not_depend_on_batch_size(indices: list[int], every: int, batch: int, other: int) -> None:
    assert paired(indices, every, batch) == paired(indices, every, other)


@given(INDICES, EVERY, BATCH)
def test_the_sampled_frames_are_scored_once_in_full_batches_and_no_others(
    indices: list[int], every: int, batch: int
) -> None:
    scoring = Scoring()
    list(with_scores(frames(indices), scoring, every, batch))
    sampled = [index for index in indices if index % every == 0]
    assert scoring.batches == [sampled[i : i + batch] for i in range(0, len(sampled), batch)]


@given(INDICES, EVERY, BATCH)
def test_a_frame_waits_only_for_a_batch_that_a_sampled_frame_began(indices: list[int], every: int, batch: int) -> None:
    waiting: list[int] = []

    def watched() -> Iterator[Frame]:
        for frame in frames(indices):
            sampled = sum(index % every == 0 for index in waiting)
            assert not waiting or 0 < sampled < batch  # else it would not have to wait for this frame
            waiting.append(frame.index)
            yield frame

    for frame, _ in with_scores(watched(), Scoring(), every, batch):
        assert waiting.pop(0) == frame.index


@given(EVERY, BATCH)
def test_of_a_source_without_gaps_less_than_a_batch_waits(every: int, batch: int) -> None:
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for taken, frame in enumerate(frames(range(100)), start=1):  # noqa: B007
            yield frame

    most = max(taken - number for number, _ in enumerate(with_scores(counted(), Scoring(), every, batch)))
    assert most == (batch - 1) * every + 1


@pytest.mark.parametrize("every", [1, 100])
def test_large_pictures_do_not_wait_for_a_full_batch(every: int) -> None:
    # A picture of one repeated byte says that it is large without being so.
    large = np.broadcast_to(np.uint8(0), (WAITING_BYTES // 9, 1, 3))
    held = 0

    def counted() -> Iterator[Frame]:
        nonlocal held
        for frame in frames(range(12), large):
            held += large.nbytes
            assert held <= WAITING_BYTES + large.nbytes
            yield frame

    pairs, scoring = [], Scoring()
    for frame, score in with_scores(counted(), scoring, every, 100):
        held -= large.nbytes
        pairs.append((frame.index, score and score.index))
    assert pairs == [(index, index // every * every) for index in range(12)]
    assert len(scoring.batches) == (3 if every == 1 else 1)  # four pictures pass the limit, each time anew


def test_an_error_while_scoring_or_reading_comes_through() -> None:
    def failing(batch: Sequence[Frame]) -> list[FrameScore]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(with_scores(frames(range(10)), failing, 5, 8))

    def torn() -> Iterator[Frame]:
        yield from frames(range(3))
        raise OSError("camera gone")

    with pytest.raises(OSError, match="camera gone"):
        list(with_scores(torn(), Scoring(), 1, 8))


def test_nothing_is_read_before_it_is_asked_for() -> None:
    source = frames(range(5))
    with_scores(source, Scoring(), 1, 1)
    assert next(source).index == 0
