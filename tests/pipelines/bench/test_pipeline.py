"""`bench pipeline`: what follows from the times, and the stages and the whole of a real video."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from msflow_stream.cores import usable_cores
from msflow_stream.video.reading.video_reader import VideoReader, count_frames
from pipelines.bench import stages
from pipelines.bench.machine import Spent
from pipelines.bench.pipeline import END_TO_END, REFERENCES, summary
from pipelines.bench.stages import synthetic_video
from tests.pipelines.conftest import Workplace
from tests.support.command import Command
from tests.support.footage import small_flags

ALONE = {stages.DECODING, stages.PREPARING, stages.MOTION, stages.SCORING}
DRAWN = {stages.DRAWING, stages.ENCODING}


def test_efficiency_is_the_slowest_stage_by_the_whole() -> None:
    seconds = {
        stages.DECODING: Spent(wall=2.0, cpu=4.0),
        stages.SCORING: Spent(wall=5.0, cpu=6.0),
        END_TO_END: Spent(wall=6.25, cpu=11.0),
    }
    row = summary(seconds, frames=100, overlay=False, peak=1)
    assert row.slowest == stages.SCORING
    assert row.limit_frames_per_s == pytest.approx(20)
    assert row.end_to_end_frames_per_s == pytest.approx(16)
    assert row.efficiency == pytest.approx(0.8)
    possible = min(row.limit_frames_per_s, row.cores_limit_frames_per_s)
    assert row.possible_fraction == pytest.approx(row.end_to_end_frames_per_s / possible)
    assert row.cores_limit_frames_per_s == pytest.approx(10 * usable_cores())
    assert {one.stage: one.share for one in row.stages} == pytest.approx({stages.DECODING: 0.4, stages.SCORING: 0.6})
    assert {one.stage: one.ms_per_frame for one in row.stages} == pytest.approx(
        {stages.DECODING: 20, stages.SCORING: 50}
    )


def test_bench_pipeline_measures_a_video_with_and_without_overlay(
    command: Command, workplace: Workplace, tmp_path: Path, in_process: None
) -> None:
    video, out = workplace.clips / "first.mp4", tmp_path / "figures.json"
    outcome = command("bench", "pipeline", video, "--repeats", 1, "--json", out, *small_flags())
    assert outcome.code == 0, outcome.err
    figures = json.loads(out.read_text())
    without, drawn = figures["rows"]
    assert (without["overlay"], drawn["overlay"]) == (False, True)
    assert {one["stage"] for one in without["stages"]} == ALONE
    assert {one["stage"] for one in drawn["stages"]} == ALONE | DRAWN
    assert (figures["width"], figures["height"]) == (96, 64)
    by_other_ways = [{one["stage"] for one in row["references"]} for row in figures["rows"]]
    assert by_other_ways == [set(REFERENCES) - {stages.DRAWING_IMAGES, stages.ENCODING_IMAGES}, set(REFERENCES)]
    for row in figures["rows"]:
        slowest = max(row["stages"], key=lambda one: one["ms_per_frame"])
        assert row["frames"] == count_frames(video)
        assert row["slowest"] == slowest["stage"]
        assert row["efficiency"] == pytest.approx(row["end_to_end_frames_per_s"] / slowest["frames_per_s"])
        assert sum(one["share"] for one in row["stages"]) == pytest.approx(1)
        assert 2**26 < row["peak_bytes"] < 2**33
    assert outcome.out.count("**Efficiency") == 2


def test_seconds_and_overlay_can_be_chosen_and_a_fitted_scene_be_used(
    command: Command, workplace: Workplace, tmp_path: Path, in_process: None
) -> None:
    out = tmp_path / "figures.json"
    scene = ["--scene", "gate", "--scenes", workplace.scenes]
    flags = ["--seconds", 1, "--no-overlay", "--repeats", 1, "--json", out, "--set", "score.every=2"]
    outcome = command("bench", "pipeline", workplace.clips / "first.mp4", *scene, *flags)
    assert outcome.code == 0, outcome.err
    figures = json.loads(out.read_text())
    assert [(row["overlay"], row["frames"]) for row in figures["rows"]] == [(False, 25)]
    assert "every 2. of 25 frames" in outcome.out


def test_synthetic_footage_is_made_once(tmp_path: Path, in_process: None) -> None:
    made = synthetic_video(90, 0.4, tmp_path / "footage")
    with VideoReader(made) as reader:
        images = [frame.image for frame in reader]
    assert [image.shape for image in images] == [(90, 160, 3)] * 10
    assert (images[0] != images[-1]).any()
    before = made.stat().st_mtime_ns
    assert synthetic_video(90, 0.4, tmp_path / "footage") == made
    assert made.stat().st_mtime_ns == before
    assert list(made.parent.iterdir()) == [made]


def test_a_video_that_is_none_is_said_in_a_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    outcome = command("bench", "pipeline", tmp_path / "notes.mp4", *small_flags())
    assert outcome.code == 2
    assert "notes.mp4" in outcome.err
