"""The overlay, asked of the pixels it gives back."""

from __future__ import annotations

import math
import time as clocks
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.types import FrameScore, Motion, Scores, UserError, Why
from msflow_stream.video.drawing.canvas import Canvas
from msflow_stream.video.drawing.overlay import (
    FOOT,
    HEAD,
    LONGEST,
    SHORTEST,
    Glow,
    Overlay,
    OverlayStyle,
    clock,
    path_of,
)

Image = npt.NDArray[np.uint8]
STYLE = OverlayStyle(low=1.0, high=3.0, threshold=0.6, history=10.0)
PARTS = OverlayStyle(low=1.0, high=3.0, threshold=0.6, history=10.0, parts=True)  # of the combined score
SIZES = [(64, 48), (240, 160), (333, 251), (640, 480), (480, 640), (1280, 720), (3840, 2160)]


def picture(width: int = 640, height: int = 480) -> Image:
    """Grey with fine texture: no channel leads another."""
    grain = np.random.default_rng(5).integers(90, 130, (height, width, 1), dtype=np.uint8)
    return np.repeat(grain, 3, axis=2)


def scored(anomaly_map: npt.NDArray[np.float64], score: float = 0.3) -> FrameScore:
    return FrameScore("door", "hall", 0, 0.0, None, Scores(score, 0.0, 0.0), anomaly_map.astype(np.float16))


def moving(moved: Motion, appearance: float = 0.1) -> FrameScore:
    score = scored(np.zeros((8, 8)), 0.9)
    return replace(score, why=Why(appearance, 6.0, 0.0, moved))


def blob(x: float, y: float, size: int = 64, peak: float = 4.0) -> npt.NDArray[np.float64]:
    """A map with one round peak at (x, y), given as parts of its width and height."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 0.06**2))


def middle(image: Image) -> Image:
    """The part of the picture that no widget may cover."""
    height, width = image.shape[:2]
    return image[height // 5 : height * 4 // 5, width // 20 : width * 9 // 10]


def changed(before: Image, after: Image) -> npt.NDArray[np.bool_]:
    return (before != after).any(axis=2)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_normal_frame_stays_clean_in_the_middle(width: int, height: int) -> None:
    image = picture(width, height)
    shown = Overlay(STYLE).draw(image, scored(np.full((32, 32), 0.99)), 0.3, 1.0, alarm=False)
    assert shown.shape == image.shape
    assert shown.dtype == np.uint8
    if height >= 160:
        assert np.array_equal(middle(shown), middle(image))
    assert changed(image, shown).any()


@pytest.mark.parametrize(("x", "y"), [(0.3, 0.4), (0.5, 0.5), (0.7, 0.6)])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (333, 251), (1280, 720)])
def test_the_glow_is_centred_where_the_map_peaks(x: float, y: float, width: int, height: int) -> None:
    image = picture(width, height)
    shown = Overlay(STYLE).draw(image, scored(blob(x, y)), 0.3, 0.0, alarm=False)
    tint = np.abs(shown.astype(float) - image).sum(axis=2)
    tint[: height // 8] = tint[height * 5 // 6 :] = 0
    tint[:, width * 19 // 20 :] = 0
    rows, columns = np.mgrid[:height, :width]
    centre = (tint * columns).sum() / tint.sum() / width, (tint * rows).sum() / tint.sum() / height
    assert centre == pytest.approx((x, y), abs=0.01)
    hot = shown[round(y * height), round(x * width)].astype(int)
    assert hot[0] > hot[2] + 30, "the glow is warm"


def test_the_glow_grows_with_the_map_up_to_alpha() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    strengths = []
    for value in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0):
        shown = Overlay(STYLE).draw(image, scored(np.full((8, 8), value)), 0.3, 0.0, alarm=False)
        strengths.append(int(middle(shown).astype(int).sum(axis=2).mean()))
    assert strengths[0] == strengths[1] == 0
    assert all(weaker < stronger for weaker, stronger in pairwise(strengths[1:6]))
    assert strengths[5] == strengths[6]
    assert middle(shown).max() <= 255 * STYLE.alpha + 1


def test_alarm_frames_the_picture_in_red_and_only_alarm_does() -> None:
    image = picture()
    calm = Overlay(STYLE).draw(image, None, 0.9, 0.0, alarm=False)
    alarm = Overlay(STYLE).draw(image, None, 0.9, 0.0, alarm=True)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.array_equal(calm[edge], image[edge])
        assert (alarm[edge][:, 0].astype(int) > alarm[edge][:, 1].astype(int) + 100).all()
    word = alarm[: 480 // 8, 260:380]
    assert (changed(calm, alarm)[: 480 // 8, 260:380]).mean() > 0.2
    assert (word.min(axis=2) > 200).sum() > 50, "white letters"


@pytest.mark.parametrize(("right", "down"), [(0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (-0.2, -0.2)])
@pytest.mark.parametrize("ground", [0, 128, 255])
def test_in_an_alarm_an_arrow_lies_where_something_moves_and_points_where_it_goes(
    right: float, down: float, ground: int
) -> None:
    image = np.full((480, 640, 3), ground, np.uint8)
    score = moving(Motion(right, down, 0.03, 0.4, 0.5))
    drawn = Overlay(PARTS).draw(image, score, 0.9, 0.0, alarm=True)
    rows, columns = np.nonzero(changed(image, drawn)[60:400, 40:560])
    assert (columns.mean() + 40, rows.mean() + 60) == pytest.approx((0.4 * 640, 240), abs=30)
    away = np.stack((columns + 40 - 0.4 * 640, rows + 60 - 240), 1) @ np.array((right, down))
    assert away.mean() > 0, "there is more of an arrow towards its head"
    part = drawn[60:400, 40:560].reshape(-1, 3)[changed(image, drawn)[60:400, 40:560].ravel()]
    assert max(abs(int(part.min()) - ground), abs(int(part.max()) - ground)) > 110, "it stands out from any ground"


def test_an_arrow_is_as_long_as_the_path_of_half_a_second_within_bounds() -> None:
    def length(speed: float) -> float:
        (x, y), (right, down) = path_of(Motion(0.6 * speed, -0.8 * speed, 0.03, 0.5, 0.5), 480, 640)
        assert (right - x, y - down) == pytest.approx(
            (0.6 * math.hypot(right - x, y - down), 0.8 * math.hypot(right - x, y - down))
        )
        return math.hypot(right - x, y - down)

    assert length(0.3) == pytest.approx(0.3 * 640 / 2)
    assert length(0.001) == pytest.approx(SHORTEST * 480)
    assert length(9.0) == pytest.approx(LONGEST * 480)


@given(
    moved=st.builds(Motion, st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 5), st.floats(0, 1), st.floats(0, 1)),
    height=st.integers(48, 2160),
    width=st.integers(48, 3840),
)
def test_an_arrow_lies_within_the_frame(moved: Motion, height: int, width: int) -> None:
    for x, y in path_of(moved, height, width):
        assert -1e-6 <= x <= width + 1e-6 or width < LONGEST * height
        assert -1e-6 <= y <= height + 1e-6


def test_only_an_alarm_of_the_combined_score_is_explained() -> None:
    image, score = picture(), moving(Motion(0.3, 0.0, 0.03, 0.5, 0.5))
    unknown = replace(score, why=None)
    calm = Overlay(PARTS).draw(image, score, 0.3, 0.0, alarm=False)
    assert np.array_equal(calm, Overlay(PARTS).draw(image, unknown, 0.3, 0.0, alarm=False))
    other = Overlay(STYLE).draw(image, score, 0.9, 0.0, alarm=True)
    assert np.array_equal(other, Overlay(STYLE).draw(image, unknown, 0.9, 0.0, alarm=True))
    looks = Overlay(PARTS).draw(image, moving(Motion(0.3, 0.0, 0.03, 0.5, 0.5), appearance=9.0), 0.9, 0.0, alarm=True)
    assert np.array_equal(middle(looks), middle(other)), "no arrow where appearance triggers"


@pytest.mark.parametrize(("width", "height"), [size for size in SIZES if size[0] >= 240])
def test_the_name_of_what_triggers_is_beside_the_score_and_covers_nothing(width: int, height: int) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    score = moving(Motion(0.3, 0.0, 0.03, 0.5, 0.5), appearance=9.0)
    without = Overlay(PARTS).draw(image, replace(score, why=None), 0.9, 0.0, alarm=True)
    with_name = Overlay(PARTS).draw(image, score, 0.9, 0.0, alarm=True)
    more = changed(without, with_name)
    assert np.all(without[more] == 90), "on what was bare"
    rows, columns = np.nonzero(more)
    assert columns.min() > width / 2
    assert rows.max() < height / 4


def test_the_given_picture_is_not_touched() -> None:
    image = picture()
    before = image.copy()
    image.flags.writeable = False
    Overlay(STYLE).draw(image, scored(blob(0.5, 0.5)), 0.9, 0.0, alarm=True)
    assert np.array_equal(image, before)


def test_before_the_first_score_only_the_time_is_drawn() -> None:
    image = picture()
    shown = Overlay(STYLE).draw(image, None, None, 0.0, alarm=False)
    rows, columns = np.nonzero(changed(image, shown))
    assert rows.max() < 480 // 8
    assert columns.max() < 640 // 3


def test_the_bar_fills_as_the_score_rises() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    filled = []
    for value in (0.0, 0.2, 0.4, 0.8, 1.0, 5.0):
        side = Overlay(STYLE).draw(image, None, value, 0.0, alarm=False)[60:400, 600:]
        filled.append(int((side.max(axis=2) > 200).any(axis=1).sum()))
    assert filled == sorted(filled)
    assert filled[3] > 1.8 * filled[2] > 0
    assert filled[-1] == filled[-2]


def test_the_timeline_shows_the_last_seconds_and_forgets_the_rest() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    overlay = Overlay(STYLE)
    overlay.draw(image, None, 0.9, 0.0, alarm=False)
    for index in range(1, 30):
        shown = overlay.draw(image, None, 0.1, index * 0.5, alarm=False)
    fresh = Overlay(STYLE)
    for index in range(9, 30):
        expected = fresh.draw(image, None, 0.1, index * 0.5, alarm=False)
    assert np.array_equal(shown, expected)


def test_the_past_kept_is_bounded_however_fast_frames_come() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    overlay = Overlay(STYLE)
    for index in range(800):
        overlay.draw(image, None, 0.5, index / 80, alarm=False)
    assert len(overlay._times) == len(overlay._levels) <= 65


def test_a_short_peak_stays_in_the_timeline() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    with_peak, without = Overlay(STYLE), Overlay(STYLE)
    for index in range(250):
        peak = with_peak.draw(image, None, 1.0 if index == 125 else 0.1, index / 50, alarm=False)
        flat = without.draw(image, None, 0.1, index / 50, alarm=False)
    assert changed(flat, peak)[100:].any()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -5.0])
def test_odd_numbers_in_map_and_score_do_no_harm(value: float) -> None:
    image = picture()
    with np.errstate(over="ignore"):
        score = scored(np.where(np.eye(16, dtype=bool), value, 0.2), value)
    overlay = Overlay(STYLE)
    for time in (0.0, 0.5, 0.2):
        assert overlay.draw(image, score, None, time, alarm=True).shape == image.shape
        overlay.draw(image, score, value, time, alarm=False)


def test_nan_in_the_map_is_clear_and_infinity_is_full() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    nothing = Overlay(STYLE).draw(image, scored(np.full((8, 8), math.nan)), 0.3, 0.0, alarm=False)
    full = Overlay(STYLE).draw(image, scored(np.full((8, 8), math.inf)), 0.3, 0.0, alarm=False)
    assert not middle(nothing).any()
    assert middle(full).any()


@pytest.mark.parametrize("size", [(640, 480), (1, 1), (3, 2)])
def test_a_map_that_hardly_exceeds_low_or_falls_between_the_pixels_draws_no_glow(size: tuple[int, int]) -> None:
    speck = np.full((40, 40), 0.5)
    speck[0, 0] = 9.0
    image = picture(*size)
    plain = Overlay(STYLE).draw(image, None, 0.3, 0.0, alarm=False)
    faint = Overlay(STYLE).draw(image, scored(np.full((8, 8), 1.001)), 0.3, 0.0, alarm=False)
    assert np.array_equal(faint, plain)
    if size[0] < 40:
        assert np.array_equal(Overlay(STYLE).draw(image, scored(speck), 0.3, 0.0, alarm=False), plain)


def test_the_same_calls_give_the_same_pictures() -> None:
    def run() -> list[bytes]:
        overlay = Overlay(STYLE)
        scores = [scored(blob(0.2 + 0.1 * index, 0.5), 0.1 * index) for index in range(6)]
        return [
            overlay.draw(picture(320, 240), scores[index // 5], None, index / 25, index > 20).tobytes()
            for index in range(30)
        ]

    assert run() == run()


def plain_glow(image: Image, anomaly_map: npt.NDArray[np.float16], style: OverlayStyle) -> npt.NDArray[np.float64]:
    """The glow as it is meant: in floating point, and for every pixel of the picture."""
    height, width = image.shape[:2]
    strength = (anomaly_map.astype(np.float64) - style.low) / (style.high - style.low)
    strength = np.clip(np.nan_to_num(strength, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    levels = cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
    ramp = cv2.applyColorMap(
        np.arange(256, dtype=np.uint8)[:, None], getattr(cv2, f"COLORMAP_{style.colormap.upper()}")
    )[:, 0]
    places = FOOT + levels * (HEAD - FOOT)
    colours = np.stack([np.interp(places, np.arange(256), ramp[:, channel]) for channel in (2, 1, 0)], axis=2)
    opacity = (levels * style.alpha)[..., None]
    return np.asarray(np.where(opacity > 0, image * (1 - opacity) + colours * opacity, image))


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (333, 251)])
@pytest.mark.parametrize("colormap", ["inferno", "hot"])
@pytest.mark.parametrize("odd", [0.0, math.nan, math.inf])
def test_the_glow_is_within_rounding_of_the_plain_way(size: tuple[int, int], colormap: str, odd: float) -> None:
    style = OverlayStyle(low=1.0, high=3.0, colormap=colormap)
    anomaly_map = (blob(0.4, 0.5) + 0.7 * blob(0.7, 0.45)).astype(np.float16)
    anomaly_map[30, 30:34] = odd
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    shown = image.copy()
    layer = Glow(style)(anomaly_map, *size)
    assert layer is not None
    layer.lay(Canvas.of_image(shown))
    difference = np.abs(shown - plain_glow(image, anomaly_map, style))
    assert difference.max() <= 3.0  # rounded six times: level twice, place, opacity, and both parts of the sum
    assert difference.mean() < 0.5


def test_a_score_shown_again_gives_the_same_glow_and_a_new_one_a_new_glow() -> None:
    image = picture()
    overlay = Overlay(STYLE)
    left, right = scored(blob(0.3, 0.5)), scored(blob(0.7, 0.5))
    shown = [
        middle(overlay.draw(image, score, 0.3, index, False)) for index, score in enumerate((left, left, right, left))
    ]
    assert np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[1], shown[2])
    assert np.array_equal(shown[0], shown[3])


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    threshold=st.none() | st.floats(-1, 2),
)
@settings(max_examples=40, deadline=None)
def test_any_shape_of_picture_and_map_can_be_drawn(
    width: int, height: int, rows: int, columns: int, threshold: float | None
) -> None:
    style = OverlayStyle(low=1.0, high=3.0, threshold=threshold)
    overlay = Overlay(style)
    score = scored(np.random.default_rng(0).uniform(0, 4, (rows, columns)))
    for index in range(3):
        shown = overlay.draw(picture(width, height), score, index / 2, index / 25, alarm=True)
        assert shown.shape == (height, width, 3)


def test_a_picture_of_another_size_than_the_first_is_drawn_at_its_own() -> None:
    overlay = Overlay(STYLE)
    score = scored(blob(0.5, 0.5))
    for width, height in ((640, 480), (320, 200), (641, 479)):
        assert overlay.draw(picture(width, height), score, 0.5, 0.0, alarm=False).shape == (height, width, 3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0:00:00.000"),
        (59.9996, "0:01:00.000"),
        (3725.25, "1:02:05.250"),
        (-1.0, "0:00:00.000"),
        (math.nan, "0:00:00.000"),
    ],
)
def test_the_clock_reads_hours_minutes_seconds_milliseconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 3.0},
        {"high": math.nan},
        {"score_range": (1.0, 1.0)},
        {"alpha": 1.5},
        {"history": 0.0},
        {"colormap": "plaid"},
    ],
)
def test_a_style_that_cannot_be_drawn_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        OverlayStyle(**({"low": 1.0, "high": 3.0} | wrong))  # type: ignore[arg-type]


def test_a_full_hd_frame_takes_a_few_milliseconds() -> None:
    overlay = Overlay(STYLE)
    image, score, spent = picture(1920, 1080), scored(blob(0.5, 0.5, 256)), []
    for index in range(12):
        start = clocks.thread_time()
        overlay.draw(image, score, 0.7, index / 25, alarm=True)
        spent.append(clocks.thread_time() - start)
    assert min(spent) < 0.03
