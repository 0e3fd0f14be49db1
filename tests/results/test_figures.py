from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from msflow_stream.results.figures import ALARM, LABEL, SMOOTHED, loss_plot, timeline
from msflow_stream.scenes.losses import Pass
from msflow_stream.types import ScoreRow, Scores


def rows(smoothed: Sequence[float], threshold: float) -> list[ScoreRow]:
    return [
        ScoreRow(5 * i, i / 5, Scores(value, value, value), value, threshold, int(value > threshold))
        for i, value in enumerate(smoothed)
    ]


def drawn(path: Path, rows: Sequence[ScoreRow], title: str = "gate", **labelled: object) -> npt.NDArray[np.int64]:
    timeline(path, title, rows, [row.score for row in rows], "paper", **labelled)  # type: ignore[arg-type]
    return opened(path)


def opened(path: Path) -> npt.NDArray[np.int64]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"), np.int64)


def blended(colour: str, alpha: float) -> npt.NDArray[np.float64]:
    """A colour over white."""
    return 255 * (1 - alpha * (1 - np.array(to_rgb(colour))))


def amount(picture: npt.NDArray[np.int64], colour: npt.NDArray[np.float64]) -> int:
    return int((np.abs(picture - colour).max(axis=2) < 3).sum())


QUIET, LOUD = [1.0, 1.2, 1.1, 1.0, 1.1], [1.0, 3.0, 3.0, 3.0, 1.0]


def test_a_timeline_is_a_png_that_depends_on_the_scores(tmp_path: Path) -> None:
    quiet, loud = (drawn(tmp_path / "timeline.png", rows(values, 2.0)) for values in (QUIET, LOUD))
    assert quiet.shape == loud.shape
    assert quiet.shape[1] > 2 * quiet.shape[0]
    assert not np.array_equal(quiet, loud)
    assert [path.name for path in tmp_path.iterdir()] == ["timeline.png"]


def test_alarms_are_filled_between_threshold_and_score(tmp_path: Path) -> None:
    filled = blended(ALARM, 0.35)
    assert amount(drawn(tmp_path / "loud.png", rows(LOUD, 2.0)), filled) > 1000
    assert amount(drawn(tmp_path / "quiet.png", rows(QUIET, 2.0)), filled) < 50


def test_a_threshold_is_drawn_where_there_is_one(tmp_path: Path) -> None:
    line = blended(ALARM, 1.0)
    assert amount(drawn(tmp_path / "with.png", rows(QUIET, 2.0)), line) > 100
    assert amount(drawn(tmp_path / "without.png", rows(QUIET, math.inf)), line) == 0


def test_labelled_spans_are_shaded_in_proportion_to_their_length(tmp_path: Path) -> None:
    shade = blended(LABEL, 0.3)
    source = rows(QUIET, 2.0)  # 0.8 seconds
    assert amount(drawn(tmp_path / "none.png", source), shade) == 0
    short = amount(drawn(tmp_path / "short.png", source, labelled=[(0.1, 0.2)]), shade)
    long = amount(drawn(tmp_path / "long.png", source, labelled=[(0.1, 0.2), (0.4, 0.7)]), shade)
    assert long / short == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("title", ["$^$", r"$\frac$", "a $x$ _b", "100%", "{}"])
def test_a_title_is_taken_as_it_is(tmp_path: Path, title: str) -> None:
    assert not np.array_equal(
        drawn(tmp_path / "named.png", rows(QUIET, 2.0), title), drawn(tmp_path / "unnamed.png", rows(QUIET, 2.0), "")
    )


@pytest.mark.parametrize("scored", [1, 2])
def test_a_source_of_hardly_any_frames_has_a_timeline(tmp_path: Path, scored: int) -> None:
    labelled = [(0.0, float(Fraction(1, 25)))]
    picture = drawn(tmp_path / "timeline.png", rows(LOUD[:scored], 0.5), labelled=labelled)
    assert picture.shape == drawn(tmp_path / "longer.png", rows(LOUD, 0.5)).shape
    assert amount(picture, blended(LABEL, 0.3)) > 1000
    assert amount(picture, blended(ALARM, 1.0)) > 100  # the threshold


def losses(*fitted: float, held_out: Sequence[float | None] = ()) -> list[Pass]:
    return [
        Pass(i, loss, other, 1e-4 / i, 2.5)
        for i, (loss, other) in enumerate(zip(fitted, held_out or [None] * len(fitted), strict=True), start=1)
    ]


def loss_picture(path: Path, passes: Sequence[Pass], title: str = "gate") -> npt.NDArray[np.int64]:
    loss_plot(path, title, passes)
    picture = opened(path)
    height, width, _ = picture.shape
    assert 320 <= height < width <= 2000
    return picture


FALLING = [0.5, 0.2, -0.1, -0.3]


def test_a_loss_plot_is_a_png_that_depends_on_the_losses(tmp_path: Path) -> None:
    pictures = [loss_picture(tmp_path / "loss.png", losses(*values)) for values in (FALLING, FALLING[::-1])]
    assert not np.array_equal(*pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]


def test_held_out_losses_are_drawn_where_there_are_any(tmp_path: Path) -> None:
    line = blended(ALARM, 1.0)
    passes = losses(*FALLING, held_out=[value + 0.1 for value in FALLING])
    assert amount(loss_picture(tmp_path / "with.png", passes), line) > 300
    assert amount(loss_picture(tmp_path / "without.png", losses(*FALLING)), line) == 0


@pytest.mark.parametrize("held_out", [None, 0.7])
def test_a_single_pass_is_a_dot_in_the_middle(tmp_path: Path, held_out: float | None) -> None:
    picture = loss_picture(tmp_path / "loss.png", losses(0.5, held_out=[held_out]))
    middle = picture[:, picture.shape[1] // 3 : -picture.shape[1] // 3]  # beside the legend
    assert amount(middle, blended(SMOOTHED, 1.0)) > 10
    assert (amount(middle, blended(ALARM, 1.0)) > 10) == (held_out is not None)


@pytest.mark.parametrize("title", ["fit of $^$", r"$\frac$", "a $x$ _b", "100%", "{}"])
def test_the_title_of_a_loss_plot_is_taken_as_it_is(tmp_path: Path, title: str) -> None:
    named, unnamed = (loss_picture(tmp_path / "loss.png", losses(*FALLING), text) for text in (title, ""))
    assert not np.array_equal(named, unnamed)
