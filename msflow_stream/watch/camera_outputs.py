"""The outputs of one watched camera: its scores and, as far as wanted, recordings, a preview, and a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Lock, Thread

from msflow_stream.files import Retention
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.watch.outputs.preview import Preview
from msflow_stream.watch.outputs.recorder import Recorder
from msflow_stream.watch.outputs.restream import Restream
from msflow_stream.watch.outputs.score_log import ScoreLog
from msflow_stream.watch.outputs.sink import Sink, ThreadedSink

RECORDINGS, PREVIEW = "recordings", "preview.jpg"
RESTYLE_SECONDS = 10.0  # for what draws to be finished when the scene is another


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOutputs:
    """The settings of what is written of every camera.

    Attributes:
        out: a folder, with one below it for each camera.
        record: whether there are overlay videos of the scored frames.
        preview: whether there is an image that is replaced every second.
        evidence: whether every event has a folder of its own with a clip, an overlay and snapshots.
        keep_days: age at which finished files of scores are removed; None keeps them.
        retention: the bounds on recordings, and on the evidence of events.
    """

    out: Path
    record: bool = False
    preview: bool = False
    keep_days: float | None = None
    retention: Retention | None = None
    evidence: bool = True


class CameraOutputs:
    """The sinks of one camera's scored frames. What is slow to write has a thread of its own and delays nobody.

    Args:
        name: name of the camera.
        rate: about how many scored frames a second come.
        settings: the outputs that are wanted.
        restream: the address that its overlay is sent to, None for none.
        random: the source of the jitter of reconnects.
    """

    def __init__(self, name: str, rate: float, settings: WatchOutputs, restream: str | None, random: Random) -> None:
        self._name, self._rate, self._settings, self._restream, self._random = name, rate, settings, restream, random
        self._folder = settings.out / name
        self._score_log = ScoreLog(self._folder, keep_days=settings.keep_days)
        self._lock = Lock()
        self._sinks: dict[str, ThreadedSink] = {}
        self._style: OverlayStyle | None = None
        self._closing: list[tuple[str, ThreadedSink, Thread]] = []
        self._lost: Counter[str] = Counter()  # by sinks that are closed

    def write(self, frame: Frame, score: FrameScore, row: ScoreRow, style: OverlayStyle) -> None:
        """Writes a frame; another `style` than before begins new files and streams."""
        self._score_log.write(frame, score, row)
        if style is not self._style:
            self._begin_to_close(RESTYLE_SECONDS)
            self._style = style
            with self._lock:
                self._sinks = self._open(style)
        for sink in self._sinks.values():
            sink.write(frame, score, row)

    def _open(self, style: OverlayStyle) -> dict[str, ThreadedSink]:
        settings, opened = self._settings, dict[str, ThreadedSink]()
        if settings.record:
            recorder = Recorder(self._folder / RECORDINGS, style, rate_hint=self._rate, retention=settings.retention)
            opened["recorder"] = ThreadedSink(recorder, name=f"{self._name} recorder")
        if settings.preview:
            opened["preview"] = ThreadedSink(Preview(self._folder / PREVIEW, style), name=f"{self._name} preview")
        if self._restream is not None:
            restream = Restream(self._restream, style, rate_hint=self._rate, random=self._random)
            opened["restream"] = ThreadedSink(restream, name=f"{self._name} restream")
        return opened

    @property
    def losses(self) -> Mapping[str, int]:
        """The number of frames that could not be kept, by "sink:cause"."""
        with self._lock:
            lost = Counter(self._lost)
            for name, sink in [*self._sinks.items(), *((name, sink) for name, sink, _ in self._closing)]:
                lost.update(_losses(name, sink))
        lost.update(_losses("scores", self._score_log))
        return lost

    def _begin_to_close(self, timeout: float) -> None:
        """Closes what draws, each in a thread, within so many seconds; returns at once."""
        with self._lock:  # held to the end, so that who closes at the same time waits for these too
            self._forget_closed()
            closing, self._sinks = self._sinks, {}
            for name, sink in closing.items():
                thread = Thread(target=sink.close, args=(timeout,), name=f"close {name}", daemon=True)
                thread.start()
                self._closing.append((name, sink, thread))

    def _forget_closed(self) -> None:
        for name, sink, thread in self._closing:
            if not thread.is_alive():
                self._lost.update(_losses(name, sink))
        self._closing = [one for one in self._closing if one[2].is_alive()]

    def close(self, timeout: float) -> None:
        """Closes everything within so many seconds."""
        self._begin_to_close(timeout)
        with self._lock:
            threads = [thread for _, _, thread in self._closing]
        for thread in threads:
            thread.join(timeout + 1.0)
        self._score_log.close()


def _losses(name: str, sink: Sink) -> dict[str, int]:
    return {f"{name}:{cause}": count for cause, count in sink.losses.items()}
