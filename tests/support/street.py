"""A watch that many tests share: one camera that stays healthy, and beside it those that faults are done to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.watch.outputs.recorder import frames_in
from tests.support.watching import Watching, until

QUICK = {
    "scene": "gate",
    "stalled_after": 0.6,
    "backoff": {"first": 0.1, "ceiling": 0.5},
}  # for cameras with faults: what would take minutes takes seconds


class Bystander:
    """A healthy camera that is watched beside one with a fault: in the end, it must not have been disturbed.

    A context manager: what happens inside is the fault.
    """

    def __init__(self, watch: Watching, name: str) -> None:
        self._watch, self._name = watch, name

    def goes_on(self) -> None:
        """Waits for more of its scores: nothing that is the matter now holds them up."""
        self._watch.wait_for_scores(self._name)

    def __enter__(self) -> Bystander:
        self.goes_on()
        self._before = self._marks()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.goes_on()
            assert self._marks() == self._before
            self._check_gaps()

    def _marks(self) -> dict[str, float]:
        names = ("msflow_reconnects_total", "msflow_camera_segment", "msflow_decode_errors_total")
        return {name: self._watch.metric(name, camera=self._name) for name in names}

    def _check_gaps(self) -> None:
        """Every sampled frame between its first and its last score has a score, or is a drop that was counted."""
        indices = self._watch.indices(self._name)
        missing = (indices[-1] - indices[0]) // 5 + 1 - len(indices)
        assert all(index % 5 == 0 for index in indices)
        assert missing <= self._watch.total("msflow_frames_dropped_total", camera=self._name)


class Street:
    """The watch, the cameras that it always has, and one more at a time."""

    def __init__(self, watch: Watching, cameras: Mapping[str, Mapping[str, Any]]) -> None:
        self.watch, self.cameras = watch, cameras

    @contextmanager
    def beside(self, name: str, **settings: Any) -> Iterator[Bystander]:
        """Watches one more camera, by a reload, and no longer in the end, when all its frames must be accounted for."""
        with Bystander(self.watch, "healthy") as healthy:
            self.watch.configure({**self.cameras, name: QUICK | settings})
            self.watch.reload()
            yield healthy
            over = any(self.watch.metric("msflow_camera_state", camera=name, state=s) for s in ("stopped", "failed"))
            ended = max(
                0, len(self.watch.tallies(name)) - over
            )  # one that is over has said it already, or says it soon
            self.watch.configure(self.cameras)
            self.watch.reload()
            until(lambda: len(self.watch.tallies(name)) > ended, f"{name} does not finish")
            check_account(self.watch, name)


def check_account(watch: Watching, camera: str) -> None:
    """Every frame that came in of a camera that has ended is scored, recorded and delivered, or counted as lost."""
    tallies = watch.tallies(camera)  # several, if it was changed on the way
    taken, delivered, dropped, _ = tallies[-1]
    assert taken == delivered + dropped, tallies
    assert len(watch.rows(camera)) == delivered - sum(one.lost_by("scores") for one in tallies), tallies
    recorded = sum(map(frames_of, watch.recordings(camera)))
    assert recorded == delivered - sum(one.lost_by("recorder") for one in tallies), tallies


def frames_of(video: Path) -> int:
    """How many frames of a video can be played."""
    with VideoReader(video) as reader:
        return sum(1 for _ in reader)


def frames_so_far(watch: Watching, camera: str) -> int:
    """How many frames of a camera can be played now, of a recording that still goes on too."""
    return sum(map(frames_in, watch.recordings(camera)))
