"""The running stream: sources -> queues -> batches -> score -> deliver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Self

from msflow_stream.stream.batcher import Batch, Batcher
from msflow_stream.stream.contract import Clock, Deliver, Ended, Limits, MonotonicClock, Sampled, Score
from msflow_stream.stream.counters import ABORTED, RUN_FAILED, Counters, Snapshot
from msflow_stream.stream.queues import BoundedQueue, FrameQueue, NewestFrame, Slot
from msflow_stream.stream.source_feed import SourceFeed
from msflow_stream.stream.steps import Steps, drop
from msflow_stream.stream.threads import ThreadGroup
from msflow_stream.types import Frame, FrameScore

log = logging.getLogger(__name__)

FINISHED = "finished"


class StreamRunner:
    """A run that scores sources until they have ended, or it is stopped; a context manager, to be used once.

    Each source is read by a thread of its own, one thread (or `limits.scorers`) calls `score`, one calls `deliver` and
    `ended`. So `score` works on a batch while the one before is delivered, and besides the queues at most three batches
    are held, and one more for each further scorer.

    >>> with StreamRunner(score, deliver, ended) as runner:  # doctest: +SKIP
    ...     runner.add("monday", video)
    ...     runner.join()

    Args:
        score: returns the scores of a batch, in its order. An error ends the run, a SourceError its source.
        deliver: takes each frame with its score, in index order per source. Errors as above.
        ended: called once per source after its last frame, with the error if it failed; the source may be added again
            from here. Not called once the run has failed or was aborted. An error ends the run.
        limits: bounds on what is held.
        clock: the clock of all waiting and of the counters.
    """

    def __init__(
        self, score: Score, deliver: Deliver, ended: Ended, limits: Limits | None = None, clock: Clock | None = None
    ) -> None:
        self._ended, self._limits, self._clock = ended, limits or Limits(), clock or MonotonicClock()
        self._batcher = Batcher(self._limits.batch, self._limits.batch_bytes, self._limits.wait, self._clock)
        self._slot: Slot[tuple[Batch, Sequence[FrameScore | None]]] = Slot()
        self._counters, self._threads = Counters(), ThreadGroup(self._clock, self._crash)
        self._steps = Steps(score, deliver, self._source_feed, self._counters, self._clock)
        self._lock = Lock()
        self._taking = Lock()  # of batches
        self._taken, self._scoring = 0, self._limits.scorers
        self._source_feeds: dict[str, SourceFeed] = {}
        self._last = False  # no source may be added
        self._over: str | None = None  # how the run ended
        self._error: BaseException | None = None
        self._end_at: float | None = None  # of a run that is stopped

    def __enter__(self) -> Self:
        for number in range(self._limits.scorers):
            self._threads.start(f"score {number}" if number else "score", self._score_all)
        self._threads.start("deliver", self._deliver_all)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
            self._wait()
        else:
            self.finish()
            self.join()

    def run(self) -> None:
        """Scores the sources added so far to their ends. Raises the error that ended the run, if one did."""
        with self:
            pass

    def add(
        self,
        name: str,
        frames: Iterable[Frame],
        live: bool = False,
        interrupt: Callable[[], None] | None = None,
        sampled: Sampled | None = None,
    ) -> bool:
        """Starts to read a source; False if the run takes no more sources.

        Args:
            name: name of the source; none of this name may be running.
            frames: frames with rising indices; iterated, and closed if its iterator can be, in a thread of its own,
                which is the place to open what is slow to open.
            live: only the newest frame waits; else all wait, and the source with them while the queue is full.
            interrupt: asks the source to end while it waits for its next frame. Called from other threads, perhaps
                more than once; must not wait itself.
            sampled: tells which frames are scored, all if None; the others are delivered too, in order.
        """
        queue = self._queue(name, live)
        queue.sampled = sampled or queue.sampled
        feed = SourceFeed(name, queue, interrupt)
        return self._admit(feed, partial(feed.read, frames))

    def attach(
        self, name: str, interrupt: Callable[[], None] | None = None, sampled: Sampled | None = None
    ) -> SourceFeed | None:
        """Takes a live source that has a thread of its own; None if the run takes no more sources.

        It calls `put` of what is returned with each frame, with rising indices, and `close` after the last. Arguments
        as for `add`.
        """
        queue = self._queue(name, live=True)
        queue.sampled = sampled or queue.sampled
        feed = SourceFeed(name, queue, interrupt)
        return feed if self._admit(feed) else None

    def _queue(self, name: str, live: bool) -> FrameQueue:
        counter, limits = self._counters.source(name), self._limits
        if live:
            return NewestFrame(self._clock, counter)
        return BoundedQueue(limits.queue_frames, limits.queue_bytes, self._clock, counter)

    def _admit(self, feed: SourceFeed, read: Callable[[], None] | None = None) -> bool:
        with self._lock:
            if self._last:
                return False
            if feed.name in self._source_feeds:
                raise ValueError(f"a source named {feed.name} is running")
            if read is not None:
                self._threads.start(f"read {feed.name}", read)
            self._source_feeds[feed.name] = feed
            self._batcher.add(feed.name, feed.queue)
        return True

    def remove(self, name: str) -> None:
        """Takes no more frames of a source; `ended` is called when those that came in are delivered.

        Raises:
            KeyError: no such source is running.
        """
        with self._lock:
            feed = self._source_feeds[name]
        feed.shut()

    @property
    def sources(self) -> list[str]:
        """The names of the sources that have not ended."""
        with self._lock:
            return list(self._source_feeds)

    def snapshot(self) -> Snapshot:
        """Returns all counters as they are now."""
        return self._counters.snapshot()

    def finish(self) -> None:
        """Takes no more sources: the run ends with the last of the present ones."""
        with self._lock:
            self._last = True
        self._batcher.finish()

    def stop(self, timeout: float) -> None:
        """Takes no more frames and ends, within so many seconds, when those that came in are delivered.

        Returns at once; `join` keeps the time. Half of it is for frames that wait, the rest for those being scored:
        what then is not delivered is dropped, and counted. Not for signal handlers, see `stops_on_signals`.
        """
        now = self._clock.now()
        with self._lock:
            self._last = True
            if self._over is not None or self._end_at is not None:
                return
            self._end_at = now + timeout
            self._threads.leave_by(self._end_at - min(self._limits.grace, timeout / 4))
            feeds = list(self._source_feeds.values())
        self._batcher.finish(drain_until=now + timeout / 2)
        for feed in feeds:
            feed.shut()

    def abort(self) -> None:
        """Ends at once: what came in and is not delivered is dropped, and counted. Returns at once."""
        self._halt(ABORTED)

    def join(self) -> None:
        """Waits for the end of the run. Raises the error that ended it, if one did."""
        self._wait()
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        if not self._threads.wait():
            self._halt(ABORTED, self._end_at)  # unless that is what was waited for
            self._threads.wait()
        for name in self._threads.left_behind():
            log.warning("gave up waiting for: %s", name)

    def _crash(self, error: BaseException) -> None:
        with self._lock:
            if self._over is None and self._error is None:
                self._error = error
        self._halt(RUN_FAILED)

    def _halt(self, cause: str, leave_by: float | None = None) -> None:
        with self._lock:
            if self._over is not None:
                return
            self._over, self._last = cause, True
            self._threads.leave_by(self._clock.now() + self._limits.grace if leave_by is None else leave_by)
            feeds = list(self._source_feeds.values())
        self._batcher.halt(cause)
        for batch, _ in self._slot.halt():
            drop(batch.frames, cause)
        for feed in feeds:
            feed.shut()

    def _score_all(self) -> None:
        while self._score_next():
            pass
        with self._lock:
            self._scoring -= 1
            last = not self._scoring
        if last:
            self._slot.close()

    def _score_next(self) -> bool:
        """Returns False after the last batch; no batch is held on to while the next one is waited for."""
        with self._taking:
            batch, number = self._batcher.get(), self._taken
            self._taken += 1
        if batch is None:
            return False
        for queued in batch.frames:
            self._counters.waiting.add(queued.waited)
        try:
            scores = self._steps.score(batch)
        except BaseException:
            drop(batch.frames, self._over or RUN_FAILED)
            raise
        if not self._slot.put(number, (batch, scores)):
            drop(batch.frames, self._over or RUN_FAILED)
        return True

    def _deliver_all(self) -> None:
        while self._deliver_next():
            pass
        with self._lock:
            if self._over is None:  # only sources can be left, which hang
                self._over = FINISHED
                self._threads.leave_by(self._clock.now() + self._limits.grace)

    def _deliver_next(self) -> bool:
        scored = self._slot.get()
        if scored is None:
            return False
        batch, scores = scored
        for number, (queued, score) in enumerate(zip(batch.frames, scores, strict=True)):
            try:
                if self._over is None:
                    self._steps.deliver(queued, score)
                else:
                    queued.counter.add_dropped(self._over)
            except BaseException:
                drop(batch.frames[number:], self._over or RUN_FAILED)
                raise
        for name in batch.ended:
            self._end(name)
        return True

    def _end(self, name: str) -> None:
        with self._lock:
            if self._over is not None:
                return
            feed = self._source_feeds.pop(name)
        self._ended(name, feed.error)

    def _source_feed(self, name: str) -> SourceFeed:
        with self._lock:
            return self._source_feeds[name]
