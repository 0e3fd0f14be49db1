"""What is written for one source while it is scored: rows, maps, events and the overlay."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from msflow_stream.config import EventSettings, ScoreKind, ScoreSettings
from msflow_stream.events.detector import EventDetector
from msflow_stream.events.rows import RowMaker
from msflow_stream.events.triggers import triggers_of
from msflow_stream.results import OVERLAY, MapWriter, ScoreRow, ScoreWriter, write_events
from msflow_stream.scene import Calibration
from msflow_stream.types import Event, EventMessage, Frame, FrameScore
from msflow_stream.video.overlay import Overlay, OverlayStyle
from msflow_stream.video.reader import SourceInfo
from msflow_stream.video.writer import VideoWriter


class SourceOutputs:
    """Takes the frames of one source in their order and writes as it goes; a context manager.

    Args:
        folder: where the files go.
        info: of the source.
        settings: smoothing, threshold, and which score they are about.
        event: when an event begins and when it is over.
        calibration: of the scene; without one there are no alarms.
        overlay: whether to write the overlay.
        audio_from: file whose sound the overlay keeps.
        save_maps: whether to write maps.safetensors.

    Attributes:
        rows: what scores.csv holds.
    """

    def __init__(
        self,
        folder: Path,
        info: SourceInfo,
        settings: ScoreSettings,
        event: EventSettings,
        calibration: Calibration | None,
        overlay: bool,
        audio_from: Path | None,
        save_maps: bool,
    ) -> None:
        self.rows: list[ScoreRow] = []
        self._newest: FrameScore | None = None
        self.style = overlay_style(calibration, settings)
        self._folder, self._make_row = folder, RowMaker(settings, calibration)
        self._events: dict[str, Event] = {}
        self._detector = EventDetector(
            triggers_of(event, settings, calibration),
            event,
            smoothing=settings.smoothing,
            level=self.style.middle,
            size=(info.width, info.height),
        )
        self._stack = ExitStack()
        self._csv = self._stack.enter_context(ScoreWriter(folder))
        self._maps = self._stack.enter_context(MapWriter(folder)) if save_maps else None
        self._drawing = (
            self._stack.enter_context(OverlayFile(folder / OVERLAY, info, self.style, audio_from)) if overlay else None
        )
        write_events(folder, self.events)

    @property
    def events(self) -> Sequence[Event]:
        """What was found so far."""
        return list(self._events.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._hear(self._detector.close())

    def take(self, frame: Frame, score: FrameScore | None) -> None:
        """Writes one frame; without a score of its own it is drawn with the newest one."""
        if score is not None:
            self._newest = score
            self._take_score(score)
        if self._drawing is not None:
            self._drawing.write(frame, self._newest, self.rows[-1] if self.rows else None)

    def _take_score(self, score: FrameScore) -> None:
        row = self._make_row(score)
        self._hear(self._detector.update(score))
        self.rows.append(row)
        self._csv.write(row)
        if self._maps is not None:
            self._maps.write(score.index, score.map)

    def _hear(self, messages: Sequence[EventMessage]) -> None:
        self._events |= {message.event.id: message.event for message in messages}
        if any(message.kind != "update" for message in messages):
            write_events(self._folder, self.events)


class OverlayFile:
    """overlay.mp4: every frame of the source with its newest score drawn on it; a context manager."""

    def __init__(self, path: Path, info: SourceInfo, style: OverlayStyle, audio_from: Path | None) -> None:
        self._time_base = info.time_base
        self._overlay = Overlay(style, info.width, info.height)
        self._writer = VideoWriter(path, info.width, info.height, info.time_base, info.rate, audio_from)

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, frame: Frame, score: FrameScore | None, row: ScoreRow | None) -> None:
        """Draws one frame; `score` gives the heat map, `row` the number, either may be missing."""
        drawn = self._overlay.draw(
            frame.image, score, row.smoothed if row else None, frame.time, alarm=bool(row and row.alarm)
        )
        self._writer.write(drawn, round(frame.time / self._time_base) if frame.pts is None else frame.pts)


def overlay_style(calibration: Calibration | None, settings: ScoreSettings) -> OverlayStyle:
    """Heat that begins where normal maps end, and a score bar whose middle is about the threshold."""
    if calibration is None:
        return OverlayStyle(low=1.0, high=2.0, threshold=settings.threshold)
    kind: ScoreKind = settings.kind
    normal, highest = calibration.quantiles[kind]["0.5"], calibration.thresholds[kind]
    threshold = highest if settings.threshold is None else settings.threshold
    reach = max(abs(threshold - normal), 1e-3)
    low, high = calibration.map_range
    return OverlayStyle(
        low=low, high=max(high, low + 1e-3), threshold=threshold, score_range=(normal - reach, normal + 3 * reach)
    )
