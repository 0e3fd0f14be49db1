"""When work in the background has to stand still: whenever the watch does worse with it than without it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from msflow_stream.video.live.states import State
from msflow_stream.watch.report import WatchReport

LOOKS = 4  # samples that a judgement rests on
FEWER = 0.93  # of the frames per second of before are too few
ROUNDED = 2.0  # frames: by so many may the count of some seconds differ by chance
MORE_DROPS = 0.03  # of the frames that came in
LATER = 1.0  # seconds of lag more than before
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds; doubled each time that going on was too early
SLOWLY = 0.3  # share of what is new in what is usual


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the watch at a moment: frames so far, and how far behind live the camera is that is furthest.

    Attributes:
        running: the cameras that it tells of, which are those from which frames come.
    """

    time: float
    running: frozenset[str]
    taken: int
    delivered: int
    dropped: int
    lag: float

    @classmethod
    def of(cls, report: WatchReport, time: float) -> Sample:
        """Returns that of a report."""
        cameras = [one for one in report.cameras if one.status.state is State.RUNNING and one.counts is not None]
        counts = [camera.counts for camera in cameras if camera.counts is not None]
        return cls(
            time,
            frozenset(camera.name for camera in cameras),
            sum(one.taken for one in counts),
            sum(one.delivered for one in counts),
            sum(sum(one.dropped.values()) for one in counts),
            max((camera.status.lag or 0.0 for camera in cameras), default=0.0),
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What the watch does over some time: frames per second, the share of frames that are dropped, the largest lag."""

    rate: float
    dropped: float
    lag: float


UNKNOWN = Load(rate=0.0, dropped=1.0, lag=0.0)  # where nothing is known of what is usual, only the lag counts


class Governor:
    """Tells at every look whether the work may run.

    What the watch does while the work stands still, or before there was any, is what it should do. A watch that drops
    frames or is late anyhow is no reason; after a pause the work goes on, and so it gets some time on any machine. With
    a camera more or less than before, what was usual tells nothing; only the lag counts then, until the
    next pause.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._usual: Load | None = None
        self._samples: deque[Sample] = deque(maxlen=LOOKS)
        self._works = self._paused = False
        self._since, self._pause = clock(), FIRST_PAUSE

    def look(self, report: WatchReport, working: bool) -> bool:
        """Takes the next report, a second or so after the last, and returns whether work may run from now on.

        Args:
            report: how the watch is doing.
            working: whether there is work now, running or paused.
        """
        now = self._clock()
        sample = Sample.of(report, now)
        if self._samples and sample.running != self._samples[-1].running:
            self._samples.clear()
            self._usual = None
        self._samples.append(sample)
        if not working:
            self._works = self._paused = False
            self._learn()
            return True
        if not self._works:
            self._works = True
            self._begin(now)
        elif self._paused:
            self._learn()
            if now - self._since >= self._pause:
                self._paused = False
                self._begin(now)
        elif self._is_behind():
            short = now - self._since < 2 * LONGEST_PAUSE
            self._pause = min(LONGEST_PAUSE, 2 * self._pause) if short else FIRST_PAUSE
            self._paused = True
            self._begin(now)
        return not self._paused

    def _begin(self, now: float) -> None:
        """Begins a time of another kind: samples from before it tell nothing of it."""
        self._since = now
        last = self._samples[-1]
        self._samples.clear()
        self._samples.append(last)

    def _load(self) -> Load | None:
        first, last = self._samples[0], self._samples[-1]
        seconds, taken = last.time - first.time, last.taken - first.taken
        if seconds <= 0:
            return None
        share = (last.dropped - first.dropped) / taken if taken > 0 else 0.0
        return Load((last.delivered - first.delivered) / seconds, share, max(one.lag for one in self._samples))

    def _learn(self) -> None:
        now, before = self._load(), self._usual
        if now is None:
            return
        self._usual = now if before is None else Load(*map(_towards, _values(before), _values(now)))

    def _is_behind(self) -> bool:
        now, usual = self._load(), self._usual or UNKNOWN
        if now is None:
            return False
        if now.lag > usual.lag + LATER:
            return True
        if len(self._samples) < LOOKS:
            return False
        missing = (usual.rate - now.rate) * (self._samples[-1].time - self._samples[0].time)
        fewer = now.rate < FEWER * usual.rate and missing > ROUNDED
        return fewer or now.dropped > usual.dropped + MORE_DROPS


def _values(load: Load) -> tuple[float, float, float]:
    return load.rate, load.dropped, load.lag


def _towards(before: float, now: float) -> float:
    return before + SLOWLY * (now - before)
