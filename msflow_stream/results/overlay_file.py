"""The overlay of one scored source: its video, with every frame's newest score drawn on it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.reading.source_info import SourceInfo
from msflow_stream.video.writing.encoders import ENCODERS, X264, EncoderChoice, Preset
from msflow_stream.video.writing.video_writer import VideoWriter

PRESET: Preset = "ultrafast"  # of every frame of a source: it is to take less time than scoring every fifth


class OverlayFile:
    """Writes overlay.mp4; a context manager.

    A frame is encoded, in a thread of its own, while the next one is drawn.
    """

    def __init__(
        self,
        path: Path,
        info: SourceInfo,
        style: OverlayStyle,
        audio_from: Path | None,
        preset: Preset = PRESET,
        encoder: EncoderChoice = ENCODERS[X264],
    ) -> None:
        self._time_base = info.time_base
        self._overlay = Overlay(style)
        self._writer = VideoWriter(
            path, info.width, info.height, info.time_base, info.rate, audio_from, preset=preset, encoder=encoder
        )
        self._encoder, self._encoding = ThreadPoolExecutor(1, "encode"), Future[None]()
        self._encoding.set_result(None)

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._encoder.shutdown()
            self._writer.__exit__(kind, error, trace)
            return
        with ExitStack() as stack:  # the writer learns of what the last frame could not be encoded for
            stack.push(self._writer)
            self._encoder.shutdown()
            self._encoding.result()

    def write(self, frame: Frame, score: FrameScore | None, row: ScoreRow | None) -> None:
        """Draws one frame for the encoder; `score` gives the heat map, `row` the number, either may be missing.

        Raises:
            Exception: what the frame before could not be encoded for.
        """
        drawn = self._overlay.draw_planar(
            frame.pixels, score, row.smoothed if row else None, frame.time, alarm=bool(row and row.alarm)
        )
        self._encoding.result()
        ticks = round(frame.time / self._time_base) if frame.pts is None else frame.pts
        self._encoding = self._encoder.submit(self._writer.write, drawn, ticks)
