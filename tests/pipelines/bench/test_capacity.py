"""`bench capacity`: the plan follows its formula, says what was measured, and takes figures from a file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch

from msflow_stream.types import UserError
from pipelines.bench.capacity_measure import NodeMeasurement, WatchFacts, figures_of, totals, written
from pipelines.bench.capacity_plan import NodeFigures, assumed, limits, measured, plan, read_figures
from pipelines.bench.machine import Spent
from tests.support.command import Command

GIGA = 1e9


def figures(**values: float) -> NodeFigures:
    """A node of 16 cores: 0.32 of them for a camera with 5 frames a second to be scored."""
    own = {
        "cores": 16, "memory_bytes": 64 * GIGA, "frames_per_s": 1000, "score_core_s": 0.02, "decode_cores": 0.2,
        "rest_cores": 0.02, "process_bytes": GIGA, "camera_bytes": 0.1 * GIGA, "scene_bytes": 0.1 * GIGA,
        "stream_bits_per_s": 4e6, "quiet_bytes_per_day": 1e6, "event_bytes": 2e6, "events_per_day": 10,
        "load": 0.5, "memory_share": 0.5, "spare_nodes": 1,
    } | values  # fmt: skip
    return NodeFigures(**{name: measured(value, "") for name, value in own.items()})


def test_a_node_watches_what_its_scarcest_part_allows() -> None:
    found = limits(figures(), 5)
    assert found == pytest.approx({"processor": 25, "scorer": 100, "memory": 155, "network": 125})
    (row,) = plan(figures(), 5, [100])
    assert (row.per_node, row.limit, row.nodes, row.gpus) == (25, "processor", 4 + 1, 0)


def test_memory_network_and_disk_grow_with_the_cameras() -> None:
    rows = {row.cameras: row for row in plan(figures(), 5, [10, 1000])}
    assert [(one.nodes, one.memory_bytes) for one in rows.values()] == [
        (2, pytest.approx((2 + 10 * 0.2) * GIGA)),
        (41, pytest.approx((41 + 1000 * 0.2) * GIGA)),
    ]
    assert rows[1000].network_bits_per_s == pytest.approx(4 * GIGA)
    assert rows[1000].disk_bytes_per_day == pytest.approx(1000 * 21e6)


@pytest.mark.parametrize(
    ("changes", "fps", "limit", "per_node"),
    [
        ({"frames_per_s": 50}, 5, "scorer", 5),
        ({"gpus": 2, "frames_per_s": 50, "gpu_memory_bytes": 80 * GIGA, "gpu_scene_bytes": GIGA}, 5, "scorer", 10),
        ({"gpus": 1, "gpu_memory_bytes": 10 * GIGA, "gpu_process_bytes": GIGA, "gpu_scene_bytes": 2 * GIGA}, 5,
         "GPU memory", 2),
        ({"scene_bytes": 3 * GIGA}, 5, "memory", 10),
        ({"link_bits_per_s": 1e8}, 5, "network", 12),
        ({}, 1, "processor", 33),
    ],
)  # fmt: skip
def test_the_limit_is_named(changes: dict[str, float], fps: float, limit: str, per_node: int) -> None:
    (row,) = plan(figures(**changes), fps, [1])
    assert (row.limit, row.per_node) == (limit, per_node)


@pytest.mark.parametrize("changes", [{"process_bytes": 40 * GIGA}, {"decode_cores": 20}])
def test_a_node_that_can_watch_nothing_is_said_to(changes: dict[str, float]) -> None:
    with pytest.raises(UserError, match="cannot watch even one camera at 5 frames/s: its limit is the"):
        plan(figures(**changes), 5, [1])


def test_the_figures_are_those_that_were_measured(tmp_path: Path) -> None:
    job = NodeMeasurement(fps=5, cameras=4, seconds=10, height=360)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(16 * 1000))
    one = WatchFacts(10, 3.0, 500e6, written={"quiet": 1, "evidence": 0, "recordings": 0})
    many = WatchFacts(10, 12.0, 530e6, scored=200, dropped=50, written={"quiet": 4000, "evidence": 0, "recordings": 0})
    busy = WatchFacts(10, 12.0, 590e6, written={"quiet": 6000, "evidence": 0, "recordings": 0}, events=2, evidence=8000)
    found = figures_of(job, Spent(0.01, 0.02), 0.15, (one, many, busy), clip, torch.device("cpu"))
    values = {name: getattr(found, name).value for name in NodeFigures.model_fields}
    assert values["frames_per_s"] == pytest.approx(100)
    assert "20 % of its frames were dropped" in found.rest_cores.how
    assert values["rest_cores"] == pytest.approx(12 / 10 / 4 - 0.15 - 5 * 0.02)
    assert found.cores_of_a_camera(5) == pytest.approx(0.3), "at the rate that was measured, what the watch took"
    assert (values["camera_bytes"], values["scene_bytes"]) == (pytest.approx(10e6), pytest.approx(20e6))
    assert values["process_bytes"] == pytest.approx(470e6)
    assert values["stream_bits_per_s"] == pytest.approx(8 * 1000)
    assert values["quiet_bytes_per_day"] == pytest.approx(100 * 86_400)
    assert values["event_bytes"] == pytest.approx((2000 + 8000) / 2)
    assert {name for name, figure in found if not figure.measured} >= {"events_per_day", "load", "link_bits_per_s"}


def test_without_an_event_the_size_of_one_is_assumed_and_said_to_be(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"0")
    facts = WatchFacts(10, 1.0, 1e9, written={"quiet": 0, "evidence": 0, "recordings": 0})
    job = NodeMeasurement(fps=5)
    found = figures_of(job, Spent(1, 1), 0.1, (facts, facts, facts), clip, torch.device("cpu"))
    assert not found.event_bytes.measured
    assert found.rest_cores.value == 0, "noise makes nothing negative"


def test_what_a_watch_writes_is_told_apart(tmp_path: Path) -> None:
    for name, size in (
        ("gate/scores.csv", 10),
        ("gate/events/1/clip.mp4", 20),
        ("gate/recordings/a.mp4", 40),
        ("e.db", 80),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    assert written(tmp_path) == {"quiet": 90, "evidence": 20, "recordings": 40}


def test_a_database_is_as_large_as_its_pages_whatever_is_in_its_log_still(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "activity.db")) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("CREATE TABLE rows (value)")
        database.commit()
        before = written(tmp_path)["quiet"]
        for _ in range(3):  # the log grows by the page each time, the database does not
            database.execute("DELETE FROM rows")
            database.execute("INSERT INTO rows VALUES (zeroblob(1000))")
            database.commit()
        assert (tmp_path / "activity.db-wal").stat().st_size > before
        assert written(tmp_path)["quiet"] == before


def test_metrics_are_summed_over_cameras() -> None:
    lines = [f'msflow_frames_scored_total{{camera="{name}"}} 5' for name in ("gate", "door")]
    lines += ["process_cpu_seconds_total 2.5", "process_resident_memory_bytes 1e9", "python_info 1"]
    found = totals("\n".join(lines) + "\n")
    assert found == {"core_s": 2.5, "resident": 1e9, "device": 0, "scored": 10, "dropped": 0}


def test_figures_come_from_a_file_and_the_plan_goes_to_one(command: Command, tmp_path: Path) -> None:
    given, out = tmp_path / "node.json", tmp_path / "plan.json"
    given.write_text(json.dumps(figures().model_dump() | {"load": assumed(0.5, "as we like it").model_dump()}))
    outcome = command("bench", "capacity", "--cameras", 300, "--fps", 5, "--figures", given, "--json", out)
    assert outcome.code == 0, outcome.err
    rows = {row["cameras"]: row for row in json.loads(out.read_text())["plan"]}
    assert list(rows) == [10, 100, 300, 1000, 10_000]
    assert rows[10_000]["nodes"] == 401
    for said in ("| load ", "as we like it", "cores of a camera   = decode_cores", "processor 25", "21 GB"):
        assert said in outcome.out
    again = command("bench", "capacity", "--figures", out)
    assert again.code == 0, "and what it wrote can be given"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON file"),
        ("[]", "the file"),
        ('{"figures": {"cores": {"value": -1, "measured": true}}}', "cores.value"),
        ('{"cores": {"value": 2, "measured": true}}', "memory_bytes: field required"),
    ],
)
def test_a_file_that_holds_no_figures_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_figures(path)
    with pytest.raises(UserError, match="cannot read"):
        read_figures(tmp_path / "nowhere.json")
