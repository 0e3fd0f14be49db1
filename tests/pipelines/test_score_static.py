"""`--skip-static`: on a still view most frames are not scored, and what happens is found all the same."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from msflow_stream.results.score_files import read_scores
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.video.writing.video_writer import VideoWriter
from pipelines.score import score
from pipelines.score_source import ScoreJob
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.footage import RATE, SIZE
from tests.support.watching import Watching

FRAMES, COMES, GOES = 150, 75, 100


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still view with a sensor's noise, and something that stands in it for a second."""
    folder, rng = tmp_path_factory.mktemp("still"), np.random.default_rng(0)
    ground = rng.integers(60, 180, (16, 24, 3)).repeat(4, 0).repeat(4, 1)  # 64 96 3
    with VideoWriter(folder / "yard.mp4", *SIZE, 1 / RATE, RATE, crf=10) as writer:
        for index in range(FRAMES):
            image = np.clip(ground + rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)
            if COMES <= index < GOES:
                image[24:44, 40:56] = (250, 20, 20)
            writer.write(image, index)
    return folder / "yard.mp4"


def run(workplace: Workplace, video: Path, out: Path, skip_static: bool) -> tuple[ScoreJob, str]:
    console = Console(record=True, width=160)
    job = ScoreJob(out=out, overlay=False, evidence=False, skip_static=skip_static, image_rate=Fraction(25))
    score([str(video)], Scorer(Scene.load(workplace.scenes / "gate"), "cpu"), job, console)
    return job, console.export_text()


def test_still_frames_take_earlier_scores_and_are_marked_and_counted(
    workplace: Workplace, still: Path, tmp_path: Path
) -> None:
    _, said = run(workplace, still, tmp_path / "gated", True)
    rows = read_scores(tmp_path / "gated/yard")
    reused = sum(row.reused for row in rows)
    assert [row.index for row in rows] == list(range(0, FRAMES, 5))
    assert len(rows) / 3 < reused < len(rows)
    assert json.loads((tmp_path / "gated/yard/run.json").read_text())["reused_scores"] == reused
    assert "of them reused" in said
    assert str(reused) in said
    for before, row in pairwise(rows):
        if row.reused:
            assert (row.score, row.surprise) == (before.score, before.surprise)
    assert not any(row.reused for row in rows if row.index in (COMES, GOES))


def test_without_it_every_sampled_frame_is_scored(workplace: Workplace, still: Path, tmp_path: Path) -> None:
    _, said = run(workplace, still, tmp_path / "plain", False)
    assert not any(row.reused for row in read_scores(tmp_path / "plain/yard"))
    assert "reused" not in said


def test_a_watched_camera_that_asks_for_it_has_a_gate_and_the_others_have_none(
    command: Command, workplace: Workplace, still: Path, tmp_path: Path
) -> None:
    cameras: dict[str, dict[str, object]] = {
        "gated": {"url": str(still), "scene": "gate", "skip_static": True},
        "plain": {"url": str(still), "scene": "gate"},
    }
    watch = Watching(tmp_path, workplace.scenes, cameras)
    outcome = command("watch", watch.config, "--scenes", workplace.scenes, "--out", watch.out, "--http", "off")
    assert outcome.code == 0, outcome.err  # it ends with its last file
    gated, plain = watch.rows("gated"), watch.rows("plain")
    assert [row["index"] for row in gated] == [row["index"] for row in plain]
    assert sum(row["reused"] == "1" for row in gated) > len(gated) / 3
    assert all(row["reused"] == "0" for row in plain)
    for one, other in zip(gated, plain, strict=True):
        if one["reused"] == "0":
            assert float(one["score"]) == pytest.approx(float(other["score"]), rel=1e-4)
