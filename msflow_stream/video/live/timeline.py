"""One clock for a camera: repairs the stream's timestamps, and tells how far behind live they are."""

from __future__ import annotations

TOLERANCE = 10.0  # seconds between the stream's clock and ours, beyond which the stream's must have jumped
SETBACK = 1.0  # seconds by which timestamps must fall back to have been set anew, not just disordered
TICK = 0.001  # seconds by which a frame follows the one before, where its timestamp says it does not
DRIFT = 1e-4  # by so much may a camera's clock be slow without seeming to fall behind


class Timeline:
    """Seconds from a camera's first frame, always increasing, over jumps of its clock and over reconnects.

    Attributes:
        lag: seconds by which the last frame came later than the promptest of its segment.
    """

    def __init__(self) -> None:
        self.lag = 0.0
        self._origin: float | None = None  # arrival of the first frame
        self._last = -TICK
        self._last_arrival = 0.0
        self._shift: float | None = None  # from the stream's clock to ours
        self._promptest = 0.0  # smallest delay, arrival minus stamp, so far

    def begin(self) -> None:
        """A new segment: nothing is known of its clock."""
        self._shift = None

    def early(self, media: float | None, arrived: float) -> float:
        """Returns by how many seconds a frame comes before its time; 0 where the stream's clock tells nothing of it.

        Arguments as for `stamp`.
        """
        if media is None or self._origin is None or self._shift is None:
            return 0.0
        ahead = media + self._shift - (arrived - self._origin)
        return ahead if 0 < ahead <= TOLERANCE else 0.0

    def stamp(self, media: float | None, arrived: float) -> float:
        """Returns a frame's time.

        Args:
            media: its timestamp in seconds of the stream's clock, None where it has none.
            arrived: when it came, in seconds of a monotonic clock.
        """
        if self._origin is None:
            self._origin = self._last_arrival = arrived
        elapsed = arrived - self._origin
        time = elapsed if media is None else self._from_media(media, elapsed)
        time = max(time, self._last + TICK)
        delay = elapsed - time
        self._promptest = min(delay, self._promptest + DRIFT * (arrived - self._last_arrival))
        self.lag = delay - self._promptest
        self._last, self._last_arrival = time, arrived
        return time

    def _from_media(self, media: float, elapsed: float) -> float:
        fresh = self._shift is None
        time = media + (self._shift or 0.0)
        if fresh or time < self._last - SETBACK or abs(elapsed - time) > TOLERANCE:
            time = max(elapsed, self._last + TICK)
            self._shift = time - media
            if fresh:
                self._promptest = elapsed - time
        return time
