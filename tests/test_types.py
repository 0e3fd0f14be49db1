"""The kinds of score: one list, one value of each, one column of each."""

from __future__ import annotations

from msflow_stream.types import SCORE_COLUMNS, SCORE_KINDS, FrameScore, ScoreRow, Scores


def test_every_kind_has_a_value_and_a_column_that_is_its_name_in_code() -> None:
    assert Scores._fields == SCORE_KINDS
    scores = Scores(*(float(number) for number in range(len(SCORE_KINDS))))
    for kind, column, value in zip(SCORE_KINDS, SCORE_COLUMNS, scores, strict=True):
        assert scores.of(kind) == value
        for one in (ScoreRow(0, 0.0, scores, 0.0, 0.0, 0), FrameScore("a", "b", 0, 0.0, None, scores, None)):  # type: ignore[arg-type]
            assert getattr(one, column) == value
