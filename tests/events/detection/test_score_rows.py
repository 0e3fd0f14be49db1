from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from msflow_stream.config.settings import ScoreSettings
from msflow_stream.events.detection.score_rows import ScoreRows
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.tails.fitting import Tail
from msflow_stream.series import ScoreSmoother, smooth
from msflow_stream.types import FrameScore, Scores

PAPER = Tail(2.0, 0.1, 50, 1.0, 0.0, 1.0, (0.0, 2.0, 8.0), (0.0, -1.0, -4.0))
SURPRISE = Tail(20.0, 0.1, 50, 1.0, 0.0, 1.0, (0.0, 20.0, 80.0), (0.0, -1.0, -4.0))
BASIS = CalibrationBasis(created="", asked=1.0, supported=0.1, hours=1.0, sources={}, smoothing=0.5, gap=5.0)
UNCALIBRATED = Calibration(frames=9, quantiles={}, thresholds={"paper": 3.0, "surprise": 30.0}, map_range=(0, 1))
CALIBRATED = UNCALIBRATED.model_copy(update={"tails": {"paper": PAPER, "surprise": SURPRISE}, "basis": BASIS})


def scored(index: int, value: float) -> FrameScore:
    return FrameScore(
        "gate", "yard", index, index / 5, None, Scores(value, 10 * value, 0.0), np.zeros((2, 3), np.float16)
    )


@pytest.mark.parametrize(("kind", "factor", "tail"), [("paper", 1, PAPER), ("surprise", 10, SURPRISE)])
def test_a_row_has_the_probability_of_its_smoothed_score(kind: str, factor: float, tail: Tail) -> None:
    made = ScoreRows(ScoreSettings(kind=kind, smoothing=0.5), CALIBRATED)  # type: ignore[arg-type]
    smoother = ScoreSmoother(0.5)
    values = [0.5, 3.0, 6.0, 1.0]
    rows = [made.row(smoother(scored(i, value))) for i, value in enumerate(values)]
    smoothed = smooth([i / 5 for i in range(4)], [factor * value for value in values], 0.5)
    assert [row.smoothed for row in rows] == pytest.approx(smoothed)
    assert [row.probability for row in rows] == pytest.approx([tail.probability(value) for value in smoothed])
    assert [row.alarm for row in rows] == [int(value > 3 * factor) for value in smoothed]


@pytest.mark.parametrize("calibration", [None, UNCALIBRATED])
def test_without_a_tail_there_are_no_probabilities(calibration: Calibration | None) -> None:
    assert (
        ScoreRows(ScoreSettings(kind="paper"), calibration).row(ScoreSmoother(0.0)(scored(0, 1.0))).probability is None
    )


def test_a_broken_frame_has_no_probability_and_raises_no_alarm() -> None:
    row = ScoreRows(ScoreSettings(kind="paper"), CALIBRATED).row(ScoreSmoother(0.0)(scored(0, math.nan)))
    assert (row.probability, row.alarm) == (None, 0)


def test_it_is_said_where_scores_are_smoothed_otherwise_than_was_calibrated(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ScoreRows(ScoreSettings(kind="paper", smoothing=0.5), CALIBRATED)
        ScoreRows(ScoreSettings(kind="paper", smoothing=2.0), UNCALIBRATED)
        assert not caplog.messages
        ScoreRows(ScoreSettings(kind="paper", smoothing=2.0), CALIBRATED)
    assert caplog.messages == [
        "scores are smoothed over 2 s, the scene is calibrated for 0.5 s: its threshold does not fit them"
    ]
