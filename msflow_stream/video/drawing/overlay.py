"""The image a person watches: a frame with its anomaly map as a glow, its score, the recent past, the alarm and why."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from msflow_stream.types import Frame, FrameScore, Image, Motion, Pixels, ScoreRow, UserError, Why
from msflow_stream.video.drawing.canvas import Box, Canvas, LevelColours, LevelStain, Stain
from msflow_stream.video.drawing.places import DashedOutline
from msflow_stream.video.drawing.widgets import RED, Bar, Label, Point, TimelineCurve, arrow, border
from msflow_stream.video.pixels import planar
from msflow_stream.video.reading.colour import FrameConverter

PATH_SECONDS = 0.5  # of a motion, which its arrow is as long as
SHORTEST, LONGEST = 0.1, 0.35  # of an arrow, in heights of the image
FOOT, HEAD = 85, 215  # of 255: the part of the colour map that a glow takes, from its weakest to its strongest


@dataclass(frozen=True)
class OverlayStyle:
    """The looks of an overlay.

    Attributes:
        low, high: the map values that are drawn fully transparent and at full strength.
        alpha: the opacity of full strength, 0 to 1.
        threshold: the score from which on a frame is an alarm, drawn as a tick and a line; None draws none.
        score_range: the scores at the empty and the full end of the bar, and at the timeline's foot and top.
        history: length of the timeline in seconds.
        colormap: a name of OpenCV's colour maps, such as inferno, turbo or hot.
        parts: whether the score is the combined one: the part of it that triggers is named, and motion gets an arrow.

    Raises:
        UserError: if a range is empty or not finite, or the colour map has no such name.
    """

    low: float
    high: float
    alpha: float = 0.5
    threshold: float | None = None
    score_range: tuple[float, float] = (0.0, 1.0)
    history: float = 30.0
    colormap: str = "inferno"
    parts: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in {"map": (self.low, self.high), "score": self.score_range}.items():
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise UserError(f"the {name} range of the overlay is {low} to {high}; the second must be the larger")
        if not 0 <= self.alpha <= 1 or not 0 < self.history < math.inf:
            raise UserError(f"overlay alpha {self.alpha} must be 0 to 1 and history {self.history} s more than 0")
        if not hasattr(cv2, f"COLORMAP_{self.colormap.upper()}"):
            raise UserError(f"no colour map is named {self.colormap!r}; try inferno, turbo or hot")

    @property
    def middle(self) -> float:
        """Map value that is drawn at half strength: where an eye sees a region begin."""
        return (self.low + self.high) / 2

    def level(self, score: float) -> float:
        """Returns the place of a score in `score_range`, 0 to 1; infinities lie at the ends, NaN at 0."""
        low, high = self.score_range
        return 0.0 if math.isnan(score) else min(1.0, max(0.0, (score - low) / (high - low)))


class Overlay:
    """The drawing on the frames of one source, in their order; it remembers the scores that its timeline shows.

    The same calls give the same images. Sizes follow the image's height, from a thumbnail to 4K; it may change.

    Example:
        >>> overlay = Overlay(OverlayStyle(low=0.4, high=1.0, threshold=0.7))
        >>> shown = overlay.draw(frame.image, score, score.score, frame.time, alarm=False)
    """

    def __init__(self, style: OverlayStyle) -> None:
        self._style = style
        self._layout: _Layout | None = None
        self._times, self._levels = deque[float](), deque[float]()  # of the past that the timeline shows
        self._make_glow = Glow(style)
        self._glow: Stain | None = None
        self._glow_of: tuple[FrameScore, tuple[int, int]] | None = None
        self._converter = FrameConverter()
        self._excepted = DashedOutline()

    def draw(self, image: Image, score: FrameScore | None, value: float | None, time: float, alarm: bool) -> Image:
        """Returns a new image with everything on it; the given one stays as it is.

        Args:
            image: uint8 H x W x 3, RGB.
            score: the newest score, whose map glows; the same object may come with many frames. None draws no glow.
                What it says of the parts of the combined score is drawn in an alarm.
            value: the number that is compared with the threshold (the smoothed score, say); None takes `score.score`.
                With neither, only the time is drawn.
            time: seconds from the source's start. Going back forgets what lay after it.
            alarm: frame the image in red and say so.
        """
        shown = image.copy()
        self._draw(Canvas.of_image(shown), score, value, time, alarm)
        return shown

    def draw_planar(
        self, pixels: Image | Pixels, score: FrameScore | None, value: float | None, time: float, alarm: bool
    ) -> VideoFrame:
        """Returns a new frame for an encoder, drawn on as by `draw`: on luma and chroma, which are never converted."""
        frame = planar(pixels, self._converter)
        self._draw(Canvas.of_frame(frame), score, value, time, alarm)
        return frame

    def draw_scored(self, frame: Frame, score: FrameScore, row: ScoreRow) -> VideoFrame:
        """Returns a new frame for an encoder: the given one with its own score on it."""
        return self.draw_planar(frame.pixels, score, row.smoothed, frame.time, alarm=bool(row.alarm))

    def remember(self, time: float, value: float, width: int) -> None:
        """Adds a score to what the timeline shows, without an image; those to come are so wide."""
        self._remember(time, value, self._style.history / width)

    def _draw(self, canvas: Canvas, score: FrameScore | None, value: float | None, time: float, alarm: bool) -> None:
        layout = self._layout
        if layout is None or canvas.size != layout.size:
            layout = self._layout = _Layout(self._style, *canvas.size)
        if score is not None:
            self._lay_glow(canvas, score)
            if score.excepted:
                self._excepted.draw(canvas, score.excepted)
            value = score.score if value is None else value
        if value is not None:
            self._remember(time, value, self._style.history / canvas.size[0])
            level = self._style.level(value)
            layout.curve.draw(canvas, *self._recent(time))
            layout.bar.draw(canvas, level)
            if layout.has_score:
                layout.score.draw(canvas, layout.score_text.format(_number(value)))
            if alarm:
                border(canvas, layout.border)
                layout.alarm.draw(canvas, "ALARM", weight=700)
                if self._style.parts and score is not None and score.why is not None:
                    layout.explain(canvas, score.why)
        layout.time.draw(canvas, clock(time))

    def _lay_glow(self, canvas: Canvas, score: FrameScore) -> None:
        if self._glow_of is None or self._glow_of[0] is not score or self._glow_of[1] != canvas.size:
            self._glow, self._glow_of = self._make_glow(score.map, *canvas.size), (score, canvas.size)
        if self._glow is not None:
            self._glow.lay(canvas)

    def _remember(self, time: float, value: float, instant: float) -> None:
        """Keeps the highest level of each instant, the seconds that the timeline can tell apart: memory is bounded."""
        while self._times and self._times[-1] > time:
            self._times.pop(), self._levels.pop()
        level = self._style.level(value) if math.isfinite(value) else -math.inf
        if self._times and self._times[-1] // instant == time // instant:
            self._times.pop()
            level = max(level, self._levels.pop())
        if level >= 0:
            self._times.append(time)
            self._levels.append(level)
        while self._times and self._times[0] < time - self._style.history:
            self._times.popleft(), self._levels.popleft()

    def _recent(self, time: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        times, levels = (np.fromiter(values, np.float64, len(values)) for values in (self._times, self._levels))
        return (time - times) / self._style.history, levels


class _Layout:
    """The places of everything on a frame of one size."""

    def __init__(self, style: OverlayStyle, width: int, height: int) -> None:
        self.size = (width, height)
        self.border = max(2, round(height * 0.008))
        stroke = max(1, round(height / 720))
        margin = self.border + max(1, round(height * 0.014))
        text = max(6, min(max(9, round(height * 0.029)), width // 16))
        self.time = Label("0:00:00.000", text, "left", margin, (width, height))
        self.score_text = "score {}" if width >= 20 * text else "{}"
        self.score = Label(self.score_text.format("00.000"), text, "right", margin, (width, height))
        self.alarm = Label("ALARM", text, "centre", margin, (width, height), ground=RED)
        self.has_score = self.score.box.x > self.time.box.x + self.time.box.width
        if self.alarm.box.x <= self.time.box.x + self.time.box.width:  # too narrow for both beside each other
            self.alarm = Label("ALARM", text, "centre", margin, (width, height), ground=RED, row=1)
        thick = max(4, round(height * 0.012))
        beside = width - margin - self.score.box.x + margin // 2 if self.has_score else width
        for row, inset in ((0, beside), (1, 3 * thick)):  # the score's left, or below it where that is not free
            self.part = Label("appearance", text, "right", margin, (width, height), RED, row, inset)
            taken = [one.box.x + one.box.width for one in (self.time, self.alarm) if one.box.y == self.part.box.y]
            self.has_part = self.part.box.x > max(taken, default=0)
            if self.has_part:
                break
        threshold = None if style.threshold is None else style.level(style.threshold)
        tall = max(6, round(height * 0.11))
        foot = Box(margin, height - margin - tall, width - 2 * margin, tall).within((width, height))
        self.curve = TimelineCurve(foot, threshold, stroke)
        top = margin + self.score.box.height + margin
        side = Box(width - margin - thick, top, thick, foot.y - margin - top).within((width, height))
        self.bar = Bar(side, threshold, stroke)

    def explain(self, canvas: Canvas, why: Why) -> None:
        """Draws what triggers: its name, and an arrow along what moves, in place."""
        if self.has_part:
            self.part.draw(canvas, why.trigger)
        if why.trigger == "motion" and why.moved is not None:
            width, height = self.size
            arrow(canvas, *path_of(why.moved, height, width), thick=max(1.5, height / 120))


def path_of(moved: Motion, height: int, width: int) -> tuple[Point, Point]:
    """Returns both ends of an arrow along a motion, in pixels.

    Its middle is where it moves, as long as all of it is in the frame; its length is the path of half a second, but
    neither so short that its direction cannot be seen, nor so long that it hides what it is about.
    """
    middle = np.array((moved.x * width, moved.y * height))
    path = np.array((moved.right, moved.down)) * PATH_SECONDS * width
    length = max(float(np.hypot(*path)), 1e-6)
    half = path / length * min(LONGEST * height, max(SHORTEST * height, length)) / 2
    room = np.array((width, height)) - np.abs(half)
    middle = np.clip(middle, np.abs(half), np.maximum(room, np.abs(half)))
    (x, y), (right, down) = middle.tolist(), half.tolist()
    return (x - right, y - down), (x + right, y + down)


class Glow:
    """A converter of anomaly maps into coloured layers; the colours of a style are worked out once."""

    def __init__(self, style: OverlayStyle) -> None:
        self._low, self._high = style.low, style.high
        levels = np.arange(256, dtype=np.uint8)[:, None]
        # A colour map's dark foot would look like a shadow around the glow, and its pale head would wash it out.
        places = cv2.convertScaleAbs(levels, alpha=(HEAD - FOOT) / 255, beta=FOOT)
        colours = cv2.applyColorMap(places, getattr(cv2, f"COLORMAP_{style.colormap.upper()}"))
        opacity = np.asarray(cv2.convertScaleAbs(levels, alpha=style.alpha), np.uint8)
        self._table = LevelColours(np.ascontiguousarray(colours[:, 0, ::-1], np.uint8), opacity[:, 0])

    def __call__(self, anomaly_map: npt.NDArray[np.float16], width: int, height: int) -> Stain | None:
        """Returns the map (h x w) as a layer for a width x height image, None where it is nowhere above `low`."""
        strength = (anomaly_map.astype(np.float32) - self._low) * (255 / (self._high - self._low))
        strength = np.clip(np.nan_to_num(strength, nan=0.0, posinf=255.0, neginf=0.0), 0.0, 255.0)
        coarse = np.asarray(cv2.convertScaleAbs(strength), np.uint8)
        # Rounded before it is enlarged, which is twice as fast and at most one level of 255 off.
        levels = coarse
        if coarse.any():
            levels = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        if not levels.any():  # OpenCV kills the process when it is handed an empty box
            return None
        box = Box(*cv2.boundingRect(levels))  # a small region costs little on a large frame
        return LevelStain(box, np.ascontiguousarray(box.of(levels)), self._table)


def clock(time: float) -> str:
    """Returns seconds as H:MM:SS.mmm, from zero on."""
    milliseconds = round(max(0.0, time) * 1000) if math.isfinite(time) else 0
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"
