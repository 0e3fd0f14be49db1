"""Scoring a batch and delivering a frame, when a source may fail meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msflow_stream.stream.batcher import Batch, QueuedFrame
from msflow_stream.stream.contract import Clock, Deliver, Score, SourceError
from msflow_stream.stream.counters import SOURCE_FAILED, Counters
from msflow_stream.stream.source_feed import SourceFeed
from msflow_stream.types import FrameScore


class Steps:
    """Calls `score` and `deliver`, times and counts, and turns a SourceError into the end of that source.

    Args:
        feed: the source of that name.
    """

    def __init__(
        self, score: Score, deliver: Deliver, feed: Callable[[str], SourceFeed], counters: Counters, clock: Clock
    ) -> None:
        self._score, self._deliver, self._feed = score, deliver, feed
        self._counters, self._clock = counters, clock

    def score(self, batch: Batch) -> list[FrameScore | None]:
        """Scores of the frames in a batch, out of which those of sources that failed are taken; None if not sampled."""
        while True:
            self._drop_failed(batch)
            sampled = [taken for taken in batch.frames if taken.sampled]
            if not sampled:
                return [None] * len(batch.frames)
            try:
                scores = iter(self._score_sampled(sampled))
            except SourceError as error:
                self._fail(error, sampled)
                continue
            return [next(scores) if taken.sampled else None for taken in batch.frames]

    def _score_sampled(self, sampled: Sequence[QueuedFrame]) -> Sequence[FrameScore]:
        started = self._clock.now()
        scores = self._score([(taken.source, taken.frame) for taken in sampled])
        self._counters.scoring.took(self._clock.now() - started)
        self._counters.batch(len(sampled))
        if len(scores) != len(sampled):
            raise RuntimeError(f"{len(scores)} scores for a batch of {len(sampled)} frames")
        for taken in sampled:
            taken.counter.scored()
        return scores

    def _drop_failed(self, batch: Batch) -> None:
        kept = []
        for taken in batch.frames:
            if self._feed(taken.source).failed_later:
                taken.counter.dropped(SOURCE_FAILED)
            else:
                kept.append(taken)
        batch.frames = kept

    def deliver(self, taken: QueuedFrame, score: FrameScore | None) -> None:
        """Delivers a frame, or drops it if its source failed."""
        if self._feed(taken.source).failed_later:
            taken.counter.dropped(SOURCE_FAILED)
            return
        started = self._clock.now()
        try:
            self._deliver(taken.source, taken.frame, score)
        except SourceError as error:
            self._fail(error, [taken])
            taken.counter.dropped(SOURCE_FAILED)
            return
        self._counters.delivering.took(self._clock.now() - started)
        taken.counter.delivered()

    def _fail(self, error: SourceError, frames: Sequence[QueuedFrame]) -> None:
        """Ends the source that the error names, which must be the one of a frame at hand."""
        for taken in frames:
            if taken.source == error.source:
                self._feed(taken.source).fail(error.original, SOURCE_FAILED)
                return
        raise error


def drop(frames: Iterable[QueuedFrame], cause: str) -> None:
    """Counts frames that are given up."""
    for taken in frames:
        taken.counter.dropped(cause)
