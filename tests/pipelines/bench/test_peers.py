"""`bench peers`: what follows from the runs, ours beside the plain model, and what cannot run."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.scenes.scene import Scene
from msflow_stream.video.reading.video_reader import count_frames
from pipelines.bench.machine import Spent
from pipelines.bench.peers.anomalib_peers import (
    ENVIRONMENT,
    AnomalibContender,
    PeersEnvironment,
    common_request,
    fit_peer,
)
from pipelines.bench.peers.job import LIBRARY, OURS, PLAIN, summary
from pipelines.bench.peers.own import OwnRequest, score_library, score_plain
from pipelines.bench.peers.runs import ClipScores, Run
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.footage import small_flags

needs_peers = pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "python").exists(), reason="anomalib is in an environment of its own: make peers"
)


def run_of(scores: Sequence[float], wall: float, cpu: float = 1.0, frames: int = 20) -> Run:
    scored = [(5 * number, score) for number, score in enumerate(scores)]
    return Run(0.5, Spent(wall, cpu), 2**20, [ClipScores(frames, scored)])


def test_ratios_are_to_the_fastest_peer_and_auroc_is_of_the_scored_frames() -> None:
    labels = [np.arange(20) >= 10]  # of frames 0, 5, 10, 15 the last two
    runs = {
        PLAIN: [run_of([0, 1, 2, 3], 4.0), run_of([0, 1, 2, 3], 6.0), run_of([0, 1, 2, 3], 5.0)],
        "padim": [run_of([0, 2, 1, 3], 2.0)],
        OURS: [run_of([3, 2, 1, 0], 1.0, cpu=0.2)],
    }
    fits = {PLAIN: 7.0, "padim": 1.0, OURS: 7.0}
    plain, padim, ours, fastflow = summary(runs, fits, {"fastflow": "no such backbone"}, labels)
    assert (plain.frames_per_s, padim.frames_per_s, ours.frames_per_s) == pytest.approx((4, 10, 20))
    assert (plain.scored_per_s, plain.ratio, padim.ratio, ours.ratio) == pytest.approx((0.8, 0.4, 1, 2))
    assert (plain.auroc, padim.auroc, ours.auroc) == pytest.approx((1, 0.75, 0))
    assert ours.core_ms_per_frame == pytest.approx(10)
    assert (fastflow.contender, fastflow.reason, fastflow.ratio) == ("fastflow", "no such backbone", None)


@pytest.mark.long
def test_bench_peers_compares_ours_with_the_plain_model(
    command: Command, workplace: Workplace, tmp_path: Path, in_process: None
) -> None:
    out, models = tmp_path / "figures.json", tmp_path / "models"
    outcome = command(
        *("bench", "peers", "--peers", "plain", "--repeats", 1, "--json", out, "--models", models),
        *("--normal", workplace.folder / "normal.mp4"),
        *("--videos", workplace.clips / "first.mp4", "--videos", workplace.clips / "second.mp4"),
        *("--labels", workplace.clips / "labels", *small_flags()),
    )
    assert outcome.code == 0, outcome.err
    figures = json.loads(out.read_text())
    assert [row["contender"] for row in figures["rows"]] == [PLAIN, OURS, LIBRARY]
    assert figures["clips"] == ["first", "second"]
    plain, ours, library = figures["rows"]
    frames = [count_frames(workplace.clips / f"{name}.mp4") for name in figures["clips"]]
    for row in figures["rows"]:
        assert (row["frames"], row["scored"]) == (sum(frames), sum(-(-count // 5) for count in frames))
        assert 0 <= row["auroc"] <= 1
        assert row["ratio"] == pytest.approx(row["frames_per_s"] / plain["frames_per_s"])
    assert ours["auroc"] == pytest.approx(library["auroc"])


def test_the_plain_model_and_ours_give_the_same_frames_the_same_paper_score(
    workplace: Workplace, tmp_path: Path
) -> None:
    scene = Scene.load(workplace.scenes / "gate")
    score = scene.settings.score.model_copy(update={"kind": "paper"})
    scene.settings = scene.settings.model_copy(update={"score": score})
    scene.save(tmp_path / "scene")
    request = OwnRequest(tmp_path / "scene", [str(workplace.clips / "first.mp4")], tmp_path)
    (plain,), (ours,) = score_plain(request).clips, score_library(request).clips
    assert plain.frames == ours.frames
    assert [index for index, _ in plain.scored] == [index for index, _ in ours.scored]
    # Decoded and resized by other libraries, within a grey level or two.
    np.testing.assert_allclose([s for _, s in plain.scored], [s for _, s in ours.scored], atol=0.05)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--peers", "padim"], "make peers"),
        (["--peers", "padin"], "'padin'"),
        (["--peers", ","], "--peers"),
        (["--peers", "plain", "--videos", "a.mp4"], "--normal"),
    ],
)
def test_bench_peers_says_what_is_missing(command: Command, tmp_path: Path, flags: list[str], said: str) -> None:
    outcome = command("bench", "peers", "--environment", tmp_path, *flags)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_peer_that_cannot_run_comes_with_its_reason(
    command: Command, workplace: Workplace, tmp_path: Path, in_process: None
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho \'{"reason": "no such backbone", "peak_bytes": 0}\' > "$4"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    out = tmp_path / "figures.json"
    outcome = command(
        *("bench", "peers", "--peers", "plain,fastflow", "--environment", tmp_path, "--repeats", 1, "--json", out),
        *("--normal", workplace.folder / "normal.mp4", "--videos", workplace.clips / "first.mp4", *small_flags()),
    )
    assert outcome.code == 0, outcome.err
    assert "`fastflow` could not run: no such backbone" in outcome.out
    rows = {row["contender"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["fastflow"]["reason"] == "no such backbone"
    assert rows[OURS]["auroc"] is None  # without labels


@needs_peers
def test_anomalibs_padim_is_fitted_exported_and_run_on_the_same_frames(workplace: Workplace, tmp_path: Path) -> None:
    scene = Scene.load(workplace.scenes / "gate")
    environment, clip = PeersEnvironment(), str(workplace.clips / "first.mp4")
    request = common_request(scene, tmp_path)
    fitted = fit_peer(environment, "padim", request, [str(workplace.folder / "normal.mp4")], tmp_path)
    run = AnomalibContender(environment, fitted, request).run([clip], tmp_path)
    assert run.frames == count_frames(Path(clip))
    assert [index for index, _ in run.clips[0].scored] == list(range(0, run.frames, 5))
    assert all(np.isfinite(score) for _, score in run.clips[0].scored)
