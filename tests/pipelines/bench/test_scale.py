"""`bench scale`: every combination is measured, all frames are accounted for, and memory is compared with weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from pipelines.bench.memory_cameras import Live, MemoryCameras
from tests.support.command import Command
from tests.support.footage import small_flags, small_settings


@pytest.fixture
def cache(tmp_path: Path) -> SceneCache:
    for number in (1, 2):
        Scene.new(f"scene{number}", small_settings(f"fit.seed={number}", "score.kind=paper")).save(
            tmp_path / f"scene{number}"
        )
    return SceneCache(tmp_path, "cpu")


def test_bench_scale_measures_all_combinations(command: Command, tmp_path: Path, in_process: None) -> None:
    out = tmp_path / "figures.json"
    counts = ["--cameras", "1,3", "--scenes", "1,2", "--frames", 6, "--repeats", 1, "--seconds", 0.5]
    outcome = command("bench", "scale", *counts, *small_flags(), "--json", out)
    assert outcome.code == 0, outcome.err
    figures = json.loads(out.read_text())
    rows = {(row["cameras"], row["scenes"]): row for row in figures["rows"]}
    assert set(rows) == {(1, 1), (3, 1), (3, 2)}
    for row in rows.values():
        assert row["frames_per_s"] == pytest.approx(1000 / row["ms_per_frame"])
        assert row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
        assert 0 <= row["live_dropped"] < 1
        assert row["core_ms_per_frame"] > 0
        assert len(row["behind_s"]) == row["cameras"]
        assert 0 < row["slowest_camera_per_s"] <= 5
        assert row["keeps_up"] == (row["slowest_camera_per_s"] == 5 and max(row["behind_s"].values()) <= 1)
    assert rows[3, 2]["ratio_to_one_scene"] == pytest.approx(rows[3, 2]["ms_per_frame"] / rows[3, 1]["ms_per_frame"])
    assert rows[3, 2]["core_ratio_to_one_scene"] == pytest.approx(
        rows[3, 2]["core_ms_per_frame"] / rows[3, 1]["core_ms_per_frame"]
    )
    one, two = figures["memory"]
    assert one["predicted_bytes"] == 0
    assert two["predicted_bytes"] > two["weights_bytes"] - one["weights_bytes"] > 0
    assert two["resident_bytes"] > two["weights_bytes"]
    assert two["gpu_bytes"] is None
    assert outcome.out.count("\n| ") == 5 + 4  # two tables with their heads and rules


def test_more_scenes_than_cameras_are_refused(command: Command) -> None:
    outcome = command("bench", "scale", "--cameras", "1,2", "--scenes", "3", *small_flags())
    assert outcome.code == 2
    assert "3 scenes need as many cameras" in outcome.err


def test_scenes_are_given_to_cameras_in_turn(cache: SceneCache) -> None:
    cameras = MemoryCameras(cache, ["scene1", "scene2"], 3, batch=2)
    assert [scene.name for scene in cameras.scenes.values()] == ["scene1", "scene2", "scene1"]
    assert cameras.all_at_once(7).wall > 0


def test_live_cameras_offer_their_frames_in_time(cache: SceneCache) -> None:
    live = MemoryCameras(cache, ["scene1"], 2, batch=2).live(rate=10, seconds=0.5)
    assert live.offered == 10
    assert live.seconds >= 0.4
    assert 0 < len(live.latencies) <= 10
    assert (live.latencies > 0).all()
    assert set(live.behind) == {"camera 0", "camera 1"}
    assert sum(len(times) for times in live.behind.values()) == len(live.latencies)
    assert live.most_behind >= live.latencies.max()  # a frame arrives when it is due, or later


def test_percentiles_and_drops_are_those_of_the_frames() -> None:
    behind = {"gate": np.arange(1, 81) / 1000, "yard": np.full(20, 1.5)}
    live = Live(offered=200, seconds=4.0, latencies=np.arange(1, 101) / 1000, behind=behind)
    assert live.percentile(50) == pytest.approx(50.5)
    assert live.dropped == 0.5
    assert live.delivered_per_s == 25
    assert live.least_scored == 0.2  # of the yard's 100 frames
    assert live.most_behind == 1.5
