"""The package as a program or a notebook uses it."""

from __future__ import annotations

import inspect
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import msflow_stream as ms
from tests.support.footage import small_settings, write_clip

SIGNATURES = Path(__file__).with_name("public_signatures.txt")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("api"), "normal", 4.0)


@pytest.fixture(scope="module")
def scene(clip: Path) -> ms.Scene:
    return ms.fit(clip, settings=small_settings(), device="cpu", progress=False)


def test_without_progress_nothing_is_said(clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scene = ms.fit(clip, settings=small_settings(), device="cpu", progress=False)
    list(ms.score(clip, scene, device="cpu", engine="torch", progress=False))
    assert "".join(capfd.readouterr()) == ""


def test_a_scene_is_fitted_and_a_video_scored_in_two_calls(scene: ms.Scene, clip: Path) -> None:
    scores = list(ms.score(clip, scene, device="cpu", engine="torch", progress=False))
    assert [one.index for one in scores] == list(range(0, 100, 5))
    with ms.VideoReader(str(clip), every=5) as video:
        plain = list(ms.Scorer(scene, "cpu")(video))
    np.testing.assert_allclose([one.scores for one in scores], [one.scores for one in plain], rtol=1e-3, equal_nan=True)


def test_a_saved_scene_is_kept_and_loaded_again(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scenes" / "gate"
    fitted = ms.fit(clip, save=folder, settings=small_settings(), device="cpu", progress=False)
    again = ms.fit(clip, save=folder, settings=small_settings(), device="cpu", progress=False)
    assert fitted.name == again.name == ms.load(folder).name == "gate"
    assert fitted.record == again.record


def test_changes_of_settings_are_named_as_on_the_command_line(scene: ms.Scene, clip: Path) -> None:
    indices = [one.index for one in ms.score(clip, scene, every=20, device="cpu", engine="torch", progress=False)]
    assert indices == [0, 20, 40, 60, 80]
    with pytest.raises(ms.UserError, match="no_such"):
        ms.score(clip, scene, settings={"score.no_such": 1})
    with pytest.raises(ms.UserError, match="fixed when the scene was fitted"):
        ms.score(clip, scene, settings={"fit.passes": 3})


@pytest.mark.parametrize("call", [lambda: ms.fit(), lambda: ms.load("nowhere"), lambda: ms.fit("nowhere.mp4")])
def test_mistakes_are_errors_of_one_line(call: object) -> None:
    with pytest.raises(ms.UserError) as error:
        call()  # type: ignore[operator]
    assert "\n" not in str(error.value)


def test_a_table_has_a_row_for_every_score(scene: ms.Scene, clip: Path) -> None:
    pandas = pytest.importorskip("pandas")
    found = ms.score(clip, scene, device="cpu", engine="torch", progress=False).to_pandas()
    assert isinstance(found, pandas.DataFrame)
    assert list(found["index"]) == list(range(0, 100, 5))
    assert {"time", "paper", "surprise", "motion", "combined"} <= set(found.columns)


def test_a_notebook_shows_scenes_and_scores(scene: ms.Scene, clip: Path) -> None:
    scene.name = "<script>"
    score = next(ms.score(clip, scene, device="cpu", engine="torch", progress=False))
    for html in (scene._repr_html_(), score._repr_html_()):
        assert "<script" not in html
        ElementTree.fromstring(f"<div>{html}</div>")  # every tag is closed
    assert "loss of 2 passes" in scene._repr_html_()
    assert "data:image/png;base64," in score._repr_html_()


def test_no_public_name_or_signature_changes_by_accident() -> None:
    """`public_signatures.txt` is what programs rely on: a change of it belongs into the changelog."""
    assert SIGNATURES.read_text(encoding="utf-8").splitlines() == list(map(_signature, sorted(ms.__all__)))


def _signature(name: str) -> str:
    value = getattr(ms, name)
    try:
        return f"{name}{inspect.signature(value)}"
    except (TypeError, ValueError):  # an exception has none
        return name
