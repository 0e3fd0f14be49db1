"""The two steps of a run, scoring a batch and delivering a frame, when a source may fail meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msflow_stream.stream.batcher import Batch, QueuedFrame
from msflow_stream.stream.contract import Clock, Deliver, Score, SourceError
from msflow_stream.stream.counters import SOURCE_FAILED, Counters
from msflow_stream.stream.source_feed import SourceFeed
from msflow_stream.types import FrameScore


class Steps:
    """The calls of `score` and `deliver`, timed and counted; a SourceError from them ends its source.

    Args:
        source_feed: returns the feed of the source of that name.
    """

    def __init__(
        self, score: Score, deliver: Deliver, source_feed: Callable[[str], SourceFeed], counters: Counters, clock: Clock
    ) -> None:
        self._score, self._deliver, self._source_feed = score, deliver, source_feed
        self._counters, self._clock = counters, clock

    def score(self, batch: Batch) -> list[FrameScore | None]:
        """Returns the scores of the frames in a batch, None if not sampled; those of failed sources leave the batch."""
        while True:
            self._drop_failed(batch)
            sampled = [queued for queued in batch.frames if queued.sampled]
            if not sampled:
                return [None] * len(batch.frames)
            try:
                scores = iter(self._score_sampled(sampled))
            except SourceError as error:
                self._fail(error, sampled)
                continue
            return [next(scores) if queued.sampled else None for queued in batch.frames]

    def _score_sampled(self, sampled: Sequence[QueuedFrame]) -> Sequence[FrameScore]:
        started = self._clock.now()
        scores = self._score([(queued.source, queued.frame) for queued in sampled])
        self._counters.scoring.add(self._clock.now() - started)
        self._counters.add_batch(len(sampled))
        if len(scores) != len(sampled):
            raise RuntimeError(f"{len(scores)} scores for a batch of {len(sampled)} frames")
        for queued in sampled:
            queued.counter.add_scored()
        return scores

    def _drop_failed(self, batch: Batch) -> None:
        kept = []
        for queued in batch.frames:
            if self._source_feed(queued.source).failed_later:
                queued.counter.add_dropped(SOURCE_FAILED)
            else:
                kept.append(queued)
        batch.frames = kept

    def deliver(self, queued: QueuedFrame, score: FrameScore | None) -> None:
        """Delivers a frame, or drops it if its source failed."""
        if self._source_feed(queued.source).failed_later:
            queued.counter.add_dropped(SOURCE_FAILED)
            return
        started = self._clock.now()
        try:
            self._deliver(queued.source, queued.frame, score)
        except SourceError as error:
            self._fail(error, [queued])
            queued.counter.add_dropped(SOURCE_FAILED)
            return
        self._counters.delivering.add(self._clock.now() - started)
        queued.counter.add_delivered()

    def _fail(self, error: SourceError, frames: Sequence[QueuedFrame]) -> None:
        """Ends the source that the error names, which must be the one of a frame at hand."""
        for queued in frames:
            if queued.source == error.source:
                self._source_feed(queued.source).fail(error.original, SOURCE_FAILED)
                return
        raise error


def drop(frames: Iterable[QueuedFrame], cause: str) -> None:
    """Counts frames that are given up."""
    for queued in frames:
        queued.counter.add_dropped(cause)
