"""A candidate knows what was labelled normal, and nothing that was labelled a violation."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from msflow_stream.datasets.synthetic import Violation
from msflow_stream.files import file_hash
from msflow_stream.scenes.features import NormalFeatures
from msflow_stream.scenes.folder import WEIGHTS, read_record
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import read_normal_scores
from msflow_stream.teaching.fitting import candidate as making
from msflow_stream.teaching.fitting.candidate import Lesson, Made, clear, make_candidate
from msflow_stream.teaching.layout import taught_folder
from msflow_stream.teaching.progress import Progress
from msflow_stream.types import Frame, UserError
from pipelines.fit import FitJob, fit
from tests.support.footage import small_settings, write_clip
from tests.support.teaching import teach

CART, CYCLIST = Violation("cart", 1, 3), Violation("cyclist", 1, 3)
LESSON = Lesson(passes=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    clip = write_clip(folder, "normal", 8)
    settings = small_settings("fit.learning_rate=2e-3", "fit.holdout=0.5", "score.every=5")
    fit([str(clip)], folder / "scenes" / "gate", settings, FitJob(device="cpu"), Console(quiet=True))
    return folder / "scenes"


@pytest.fixture
def scene(fitted: Path, tmp_path: Path) -> Path:
    shutil.copytree(fitted, tmp_path / "scenes")
    return tmp_path / "scenes" / "gate"


def made(scene: Path, lesson: Lesson = LESSON) -> Made:
    return make_candidate(scene, device="cpu", lesson=lesson, by="anna")


def test_a_candidate_is_a_whole_scene_and_the_live_one_stays_as_it_is(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    before = file_hash(scene / WEIGHTS), (scene / "scene.json").read_bytes()
    result = made(scene)
    found = Scene.load(result.staged)
    assert result.taught == ("gate-1",)
    assert found.name == "gate"
    assert found.calibration is not None
    assert found.joint is not None
    assert found.record["taught"]["by"] == "anna"
    assert found.settings == Scene.load(scene).settings
    assert len(read_normal_scores(result.staged)) == len(read_normal_scores(scene))
    assert (result.staged / "footage.json").read_bytes() == (scene / "footage.json").read_bytes()
    assert before == (file_hash(scene / WEIGHTS), (scene / "scene.json").read_bytes())
    clear(scene)
    assert not result.staged.exists()


@pytest.mark.long
def test_the_same_seed_gives_the_same_candidate(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    first = read_record(made(scene).staged)
    clear(scene)
    second = read_record(made(scene).staged)
    for key in ("weights_sha256", "joint", "calibration"):
        assert first[key] == second[key]


@pytest.mark.long
def test_killed_in_its_second_pass_it_goes_on_to_the_same_weights(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    whole = read_record(made(scene).staged)
    clear(scene)

    def killed(progress: Progress) -> None:
        if progress.stage == "fitting" and progress.done > 0.6 * progress.of:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_candidate(scene, device="cpu", lesson=LESSON, progress=killed)
    begun: list[float] = []
    again = make_candidate(
        scene,
        device="cpu",
        lesson=LESSON,
        progress=lambda one: begun.append(one.done) if one.stage == "fitting" else None,
    )
    assert begun[0] > 0
    assert read_record(again.staged)["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.long
def test_another_label_begins_anew(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    one = made(scene).staged
    teach(scene, "gate-2", "normal", [CYCLIST], (1.2, 2.8))
    stages: list[Progress] = []
    again = make_candidate(scene, device="cpu", lesson=LESSON, progress=stages.append)
    assert next(one for one in stages if one.stage == "fitting").done == 0
    assert again.taught == ("gate-1", "gate-2")
    assert again.staged == one


def test_frames_of_a_violation_are_never_taught(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.0, 3.0))
    teach(scene, "gate-2", "violation", [CYCLIST], (2.0, 4.0))
    seen: list[tuple[str, float]] = []
    extract = making.extract_into

    def spied(footage: NormalFeatures, live: Scene, frames: Iterable[Frame]) -> None:
        extract(footage, live, frames)
        seen.extend((source, time) for source, _, time in footage.frames)

    monkeypatch.setattr(making, "extract_into", spied)
    made(scene)
    assert {source for source, _ in seen} == {"gate-1"}
    assert seen
    assert all(0.5 <= time < 1.5 for _, time in seen), "nor what is shortly before it"


def test_frames_of_a_violation_without_a_clip_are_not_taught_either(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.0, 2.8))
    teach(scene, "gate-2", "violation", [CYCLIST], (0.0, 3.0))
    (taught_folder(scene) / "gate-2" / "clip.mp4").unlink()
    with pytest.raises(UserError, match="no frames to learn from"):
        made(scene)


def test_an_event_whose_clip_cannot_be_read_is_left_out_in_words(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    teach(scene, "gate-2", "normal", [CART], (1.2, 2.8))
    clip = taught_folder(scene) / "gate-2" / "clip.mp4"
    clip.write_bytes(b"no video")
    result = made(scene)
    assert result.taught == ("gate-1",)
    assert "gate-2, labelled normal, is left out: its clip.mp4 cannot be read" in result.comparison["text"]


def test_the_frames_of_a_violation_labelled_normal_at_another_camera_raise_a_doubt(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8), source="other")
    teach(scene, "gate-2", "violation", [CART], (1.2, 2.8))
    said = made(scene).comparison
    (doubt,) = said["doubts"]
    assert (doubt["event"], doubt["like"], doubt["alike"]) == ("gate-1", "gate-2", pytest.approx(1.0, abs=0.05))
    assert doubt["text"] in said["text"]


def test_a_scene_without_normal_labels_or_features_says_what_to_do(scene: Path) -> None:
    teach(scene, "gate-2", "violation", [CYCLIST], (2.9, 3.0))
    with pytest.raises(UserError, match="labelled normal"):
        made(scene)
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    shutil.rmtree(taught_folder(scene).parent / "normal")
    with pytest.raises(UserError, match=r"keeps no features .* fit it again"):
        made(scene)


def test_what_was_taught_looks_less_unusual(scene: Path) -> None:
    teach(scene, "gate-1", "normal", [CART], (1.2, 2.8))
    result = made(scene, Lesson(passes=4, learning_rate=2e-3))
    (normal,) = result.comparison["normals"]
    assert normal["candidate"]["peak"] < normal["live"]["peak"]
    assert torch.isfinite(torch.tensor(normal["candidate"]["peak"]))
