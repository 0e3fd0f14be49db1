"""`import-checkpoint` on the command line: the scene it makes gives the numbers of the checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from msflow_stream.model.aggregate import anomaly_maps, top_k_mean
from msflow_stream.model.msflow import MSFlow
from msflow_stream.scenes.scene import Scene
from tests.support import data
from tests.support.command import Command
from tests.support.release import release_checkpoint

CHANNELS = [64, 128, 256]  # of resnet18
BACKBONE = ("--backbone", "resnet18", "--set", "model.weights=random", "--input-size", "64x96")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("release") / "bottle.pt"
    torch.save(release_checkpoint(MSFlow(CHANNELS, [1, 2, 1], 16, seed=4), (2, 0, 1), epoch=25), path)
    return path


def test_a_checkpoint_becomes_a_scene_that_gives_its_numbers(
    command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    outcome = command("import-checkpoint", checkpoint, *BACKBONE, "--scene", "bottle", "--scenes", tmp_path)
    assert outcome.code == 0, outcome.err
    scene = Scene.load(tmp_path / "bottle")
    assert scene.settings.model.blocks == (1, 2, 1)
    assert scene.record["passes"] == 25
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        z = MSFlow(CHANNELS, [1, 2, 1], 16, seed=4).eval()(scene.pyramid(images))[0]
    expected = top_k_mean(anomaly_maps(z, (64, 96)).mul, 0.03)
    assert scene.measure(images).score.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_an_imported_scene_scores_a_video(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    from tests.support.videos import write_video

    command("import-checkpoint", checkpoint, *BACKBONE, "--scene", "bottle", "--scenes", tmp_path)
    video = write_video(tmp_path / "today.mp4", 10)
    outcome = command("score", video, "--scene", "bottle", "--scenes", tmp_path, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "run" / "today" / "overlay.mp4").exists()
    assert "bottle" in command("scenes", "list", "--scenes", tmp_path).out
    assert command("scenes", "show", "bottle", "--scenes", tmp_path).code == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backbone", "resnet50"], "channels, the checkpoint is for [64, 128, 256]"),
        (["--backbone", "resnet81"], "resnet18"),
        (["--input-size", "big"], "--input-size takes numbers such as 512 or 256x384"),
        (["--order", "0,1"], "does not fit"),
        (["--set", "model.stages=[1,2]"], "2 stages need 2 block counts, not 3"),
        (["--set", "model.fusion=false"], "take them out of --set"),
        (["--set", "model.norm=batch"], "take them out of --set"),
        (["--set", "model.blocks=[2,2,2]"], "take them out of --set"),
        (["--set", "input.size=[96,96]"], "take them out of --set"),
        (["--input-size", "64x96x128"], "--input-size takes numbers"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    flags: list[str], message: str, command: Command, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["import-checkpoint", checkpoint, *BACKBONE, "--scene", "new", "--scenes", tmp_path, *flags]
    outcome = command(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_scene_is_kept(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["import-checkpoint", checkpoint, *BACKBONE, "--scene", "bottle", "--scenes", tmp_path]
    assert command(*arguments).code == 0
    assert "exists already" in command(*arguments).err
    assert command(*arguments, "--overwrite").code == 0


@pytest.mark.skipif(not (data.ROOT / "golden").is_dir(), reason="no golden tensors")
def test_a_checkpoint_of_another_backbone_names_both_channel_counts(command: Command, tmp_path: Path) -> None:
    arguments = ["--scene", "golden", "--scenes", tmp_path]
    outcome = command("import-checkpoint", data.ROOT / "golden" / "three_scales.pt", *BACKBONE, *arguments)
    assert outcome.code == 2
    assert "[64, 128, 256] channels, the checkpoint is for [8, 12, 16]" in outcome.err
