"""The results of one source, written while it is scored: rows, maps, events with their evidence, and the overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from msflow_stream.config.settings import EventSettings, ScoreSettings
from msflow_stream.events.detection.detector import EventDetector, EventList
from msflow_stream.events.detection.open_event import origin_of
from msflow_stream.events.detection.score_rows import ScoreRows
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_folder import EVIDENCE_FOLDER
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.events.evidence.thread import ThreadedEvidence
from msflow_stream.results.overlay_file import PRESET, OverlayFile
from msflow_stream.results.run_folder import OVERLAY, write_events
from msflow_stream.results.score_files import MapWriter, ScoreWriter
from msflow_stream.scenes.calibration import Calibration, overlay_style
from msflow_stream.series import ScoreSmoother
from msflow_stream.types import Event, EventMessage, FoundEvent, Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.reading.source_info import SourceInfo
from msflow_stream.video.writing.encoders import ENCODERS, X264, EncoderChoice, Preset


@dataclass(frozen=True, slots=True)
class ScoreOutputs:
    """The files that are written of a source beside its scores and its events.

    Attributes:
        overlay: overlay.mp4.
        maps: maps.safetensors.
        evidence: a folder for every event, with a clip, an overlay and snapshots.
        preset: how quickly the overlay is encoded.
        encoder: what encodes it.
    """

    overlay: bool = True
    maps: bool = False
    evidence: bool = True
    preset: Preset = PRESET
    encoder: EncoderChoice = ENCODERS[X264]


class SourceOutputs:
    """Writes the results of one source, whose frames come in their order; a context manager.

    Args:
        folder: the folder for the files.
        file: the file or folder of images that the source is, for the overlay's sound and the clips' packets; None for
            a camera.
        info: the source.
        settings: smoothing, threshold, and which score they are about.
        event: when an event begins and when it is over.
        calibration: the scene's; without one there are no alarms.
        wanted: the files that are written.

    Attributes:
        rows: the content of scores.csv.
        style: the look of the overlay.
        triggers: the scores that events are judged by.
    """

    def __init__(
        self,
        folder: Path,
        file: Path | None,
        info: SourceInfo,
        settings: ScoreSettings,
        event: EventSettings,
        calibration: Calibration | None,
        wanted: ScoreOutputs,
    ) -> None:
        self.rows: list[ScoreRow] = []
        self._newest: FrameScore | None = None
        self.style = overlay_style(calibration, settings)
        self.triggers = triggers_of(event, settings, calibration)
        self._folder = folder
        self._smoother, self._rows = ScoreSmoother(settings.smoothing), ScoreRows(settings, calibration)
        self._events = EventList()
        self._detector = EventDetector(
            self.triggers,
            event,
            smoothing=settings.smoothing,
            level=self.style.middle,
            size=(info.width, info.height),
            origin="" if file is None else origin_of(file),
        )
        self._stack = ExitStack()
        self._csv = self._stack.enter_context(ScoreWriter(folder))
        self._maps = self._stack.enter_context(MapWriter(folder)) if wanted.maps else None
        self._drawing: OverlayFile | None = None
        if wanted.overlay:
            sound = file if info.has_audio else None
            self._drawing = self._stack.enter_context(
                OverlayFile(folder / OVERLAY, info, self.style, sound, wanted.preset, wanted.encoder)
            )
        self._evidence: ThreadedEvidence | None = None
        if wanted.evidence and self.triggers:
            self._evidence = _open_evidence(folder / EVIDENCE_FOLDER, file, info, settings.every, self.style)
            self._stack.callback(_remove_if_empty, folder / EVIDENCE_FOLDER)
            self._stack.callback(self._evidence.close)
        write_events(folder, self.events)

    @property
    def events(self) -> Sequence[Event]:
        """The events so far."""
        return self._events.events

    @property
    def found(self) -> Sequence[FoundEvent]:
        """The same, for measuring them."""
        return self._events.found

    @property
    def lost(self) -> Mapping[str, int]:
        """The number of frames and files that the evidence lacks, by cause."""
        return {} if self._evidence is None else {cause: n for cause, n in self._evidence.losses.items() if n}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._send(self._detector.close(), self.rows[-1].time if self.rows else 0.0)

    def write(self, frame: Frame, score: FrameScore | None) -> None:
        """Writes one frame; without a score of its own it is drawn with the newest one."""
        if score is not None:
            self._newest = score
            self._write_score(frame, score)
        if self._drawing is not None:
            self._drawing.write(frame, self._newest, self.rows[-1] if self.rows else None)

    def _write_score(self, frame: Frame, score: FrameScore) -> None:
        scored = self._smoother(score)
        row = self._rows.row(scored)
        self.rows.append(row)
        self._csv.write(row)
        if self._maps is not None:
            self._maps.write(score.index, score.map)
        if self._evidence is not None:
            self._evidence.write(frame, score, row)
        self._send(self._detector.update(scored), score.time)

    def _send(self, messages: Sequence[EventMessage], time: float) -> None:
        self._events.add(messages, time)
        if self._evidence is not None:
            for message in messages:
                self._evidence.event(message)
        if any(message.kind != "update" for message in messages):
            write_events(self._folder, self.events)


def _open_evidence(
    folder: Path, file: Path | None, info: SourceInfo, every: int, style: OverlayStyle
) -> ThreadedEvidence:
    """Opens a folder for the evidence of a source's events, of which nothing is left out for want of time."""
    settings = EvidenceSettings(rate_hint=float(info.rate) / every)
    packets = None if file is None else FilePackets.of(file, settings.memory_seconds)
    writer = EvidenceWriter(folder, style, packets=packets, settings=settings)
    return ThreadedEvidence(writer, info.name, lossless=True)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@dataclass(frozen=True, slots=True)
class SourceResult:
    """The results of one source.

    Attributes:
        rows: its scored frames.
        frames: the number of frames that were read.
        rate: frames per second of the source.
        damaged: the number of damaged packets.
        found: the events as they are measured.
        lost: the number of frames and files that the evidence lacks, by cause.
        seconds: the time that it took.
        interrupted: it was stopped before its end.
    """

    folder: Path
    rows: Sequence[ScoreRow]
    frames: int
    rate: float
    damaged: int
    events: Sequence[Event]
    found: Sequence[FoundEvent]
    lost: Mapping[str, int]
    seconds: float
    interrupted: bool

    @property
    def reused(self) -> int:
        """The number of frames that showed nothing new and took the score of an earlier one."""
        return sum(row.reused for row in self.rows)
