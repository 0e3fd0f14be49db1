"""A scene that version 0.1.0 fitted and calibrated, stored in data/yard, still scores as that version did."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from msflow_stream.scenes.folder import FORMAT, RECORD, WEIGHTS, list_scenes
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import read_normal_scores
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import APPEARANCE_KINDS, Frame, UserError
from tests.support.command import Command
from tests.support.footage import write_clip

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "yard_scores.json").read_text(encoding="utf-8"))  # as that version computed them


@pytest.fixture(scope="module")
def yard() -> Scene:
    return Scene.load(DATA / "yard")


def image(number: int) -> npt.NDArray[np.uint8]:
    """48 x 64 pixels of slanted bands."""
    y, x = np.mgrid[:48, :64]
    bands = [(40 * number + 3 * y + x * steepness) % 256 for steepness in (1, 2, 5)]
    return np.stack(bands, -1).astype(np.uint8)


def test_an_old_scene_gives_the_scores_that_it_gave(yard: Scene) -> None:
    frames = [Frame("bands", i, i, i / 5, None, image(i)) for i in range(len(EXPECTED["scores"]))]
    for found, expected in zip(Scorer(yard, "cpu")(frames), EXPECTED["scores"], strict=True):
        for name in ("score", "surprise", "surprise_mean"):
            assert getattr(found, name) == pytest.approx(expected[name], rel=1e-5)
        assert found.map.astype(np.float32).mean() == pytest.approx(expected["map_mean"], rel=1e-3)  # float16
        assert found.map.max() == pytest.approx(expected["map_max"], rel=1e-3)


def test_an_old_calibration_is_read_whole(yard: Scene) -> None:
    assert yard.calibration is not None
    assert yard.calibration.thresholds == EXPECTED["thresholds"]
    for kind in APPEARANCE_KINDS:
        above = 1.1 * yard.calibration.thresholds[kind]
        expected = EXPECTED["probabilities_above"][kind]
        assert yard.calibration.tails[kind].probability(above) == pytest.approx(expected)


def test_a_scene_of_the_backbone_that_is_gone_says_how_to_go_on(tmp_path: Path) -> None:
    folder = shutil.copytree(DATA / "yard", tmp_path / "yard")
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    content["settings"]["model"]["backbone"] = "embedded"
    (folder / RECORD).write_text(json.dumps(content), encoding="utf-8")
    command = f"msflow-stream fit NORMAL_FOOTAGE --scene yard --scenes {tmp_path} --overwrite"
    with pytest.raises(UserError, match=f"backbone 'embedded', which is no more: fit it again with `{command}`"):
        Scene.load(folder)


def test_all_that_was_stored_is_kept_when_an_old_scene_is_saved_again(yard: Scene, tmp_path: Path) -> None:
    yard.save(tmp_path / "yard")
    assert list_scenes(tmp_path) == ["yard"]
    old, new = (json.loads((folder / "yard" / RECORD).read_text(encoding="utf-8")) for folder in (DATA, tmp_path))
    assert kept(new, old) == old | {"format": FORMAT}
    assert (tmp_path / "yard" / WEIGHTS).read_bytes() == (DATA / "yard" / WEIGHTS).read_bytes()


def kept(new: Any, old: Any) -> Any:
    """What is in `new` at every place that `old` has."""
    return {key: kept(new.get(key), value) for key, value in old.items()} if isinstance(old, dict) else new


def test_the_normal_scores_of_an_old_scene_are_read() -> None:
    scores = read_normal_scores(DATA / "yard")
    assert [one.source for one in scores] == ["yard"] * 40
    assert scores[0].index == 300
    assert not any(math.isfinite(value) for one in scores for value in (one.motion, one.combined))


def test_an_old_scene_is_judged_as_it_was_and_knows_no_motion(yard: Scene) -> None:
    assert (yard.settings.score.kind, yard.settings.score.alignment) == ("paper", "corners")
    assert yard.motion is None
    assert yard.joint is None


@pytest.mark.parametrize("kind", ["combined", "motion"])
def test_an_old_scene_that_is_asked_for_what_it_has_not_says_how_to_go_on(
    command: Command, tmp_path: Path, kind: str
) -> None:
    clip = write_clip(tmp_path, "clip", 0.4)
    asked = ("--scenes", DATA, "--scene", "yard", "--out", tmp_path / "out", "--set", f"score.kind={kind}")
    outcome = command("score", clip, *asked)
    assert outcome.code == 2, outcome.err
    (line,) = [line for line in outcome.err.splitlines() if line.strip()]
    assert "fit it again" in line
    assert "score.kind=" in line
