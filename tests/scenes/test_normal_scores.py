from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.scenes.thresholds import NORMAL_SCORES, NormalScore, read_normal_scores, write_normal_scores
from msflow_stream.types import Scores, UserError

VALUES = st.floats(width=32, allow_nan=False)
MOTION = VALUES | st.just(float("nan"))
ROWS = st.builds(
    NormalScore,
    source=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1),
    index=st.integers(0, 10**9),
    time=st.integers(0, 10**12).map(lambda microseconds: microseconds / 10**6),
    scores=st.builds(Scores, VALUES, VALUES, VALUES, MOTION, MOTION),
)


@given(st.lists(ROWS, max_size=5))
def test_scores_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[NormalScore]) -> None:
    folder = tmp_path_factory.getbasetemp()
    write_normal_scores(folder, rows)
    found = read_normal_scores(folder)
    assert [(one.source, one.index) for one in found] == [(one.source, one.index) for one in rows]
    for one, row in zip(found, rows, strict=True):
        assert one.time == pytest.approx(row.time, abs=6e-7)
        assert tuple(one.scores) == pytest.approx(tuple(row.scores), rel=1e-8, abs=0, nan_ok=True)


def test_a_scene_of_an_older_fit_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no normal scores: give normal footage with --normal SOURCE"):
        read_normal_scores(tmp_path)


@pytest.mark.parametrize("damage", ["", "a,b\n", "\0", "HEAD\ngate,1,0.2,3\n", "HEAD\ngate,1,0.2,3,4,5,6,x\n"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    write_normal_scores(tmp_path, [])
    head = (tmp_path / NORMAL_SCORES).read_text().strip()
    (tmp_path / NORMAL_SCORES).write_text(damage.replace("HEAD", head))
    with pytest.raises(UserError, match=r"normal_scores\.csv is damaged"):
        read_normal_scores(tmp_path)
