"""`score` in units: the files are those of one machine, whatever was cut into parts, kept, or failed beside them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from msflow_stream.datasets.synthetic import Violation
from msflow_stream.types import UserError
from pipelines import score_spread
from pipelines.score_kept import ASIDE
from pipelines.score_parts import ScorePart
from tests.pipelines.conftest import Workplace, shared
from tests.support.footage import write_clip
from tests.support.spread import Noting, alone, contents, spread
from tests.support.videos import overwrite_packets


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of twelve seconds with labels and masks."""

    def make(folder: Path) -> None:
        folder.mkdir()
        write_clip(folder, "long", 12, [Violation("cart", 2, 3.5), Violation("cart", 8, 9)], 1)

    return shared(tmp_path_factory, "long", make)


def test_a_video_in_parts_leaves_the_files_of_one_machine(workplace: Workplace, long: Path, tmp_path: Path) -> None:
    scene, truth, runner = workplace.scenes / "gate", (long / "labels", long / "masks"), Noting()
    _, once = alone([long], scene, tmp_path / "one", labels=truth[0], masks=truth[1], save_maps=True)
    _, parted = spread([long], scene, tmp_path / "two", runner, seconds=3, truth=truth, save_maps=True)
    assert runner.done == ["long", *(f"long part {number}" for number in range(4)), "long"]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert parted.result() == once.result()
    assert not (tmp_path / "two" / ASIDE / "staging").exists()
    assert not list((tmp_path / "two" / ASIDE).rglob("part.json"))


def test_what_is_complete_is_kept_and_all_else_is_refused(workplace: Workplace, tmp_path: Path) -> None:
    scene, clips = workplace.scenes / "gate", sorted(workplace.clips.glob("*.mp4"))
    spread(clips, scene, tmp_path, overlay=False, evidence=False)
    shutil.rmtree(tmp_path / "second")
    before, runner = contents(tmp_path), Noting()
    results, _ = spread(clips, scene, tmp_path, runner, overlay=False, evidence=False)
    assert runner.done == ["second"]
    assert [result.folder.name for result in results] == ["first", "second"]
    assert {name: now for name, now in contents(tmp_path).items() if name.startswith("first")} == before
    with pytest.raises(UserError, match="first exists already"):
        spread(clips, scene, tmp_path, overlay=False, evidence=False, max_frames=20)
    spread(clips, scene, tmp_path, runner, overlay=False, evidence=False, max_frames=20, overwrite=True)
    assert runner.done == ["second", "first", "second"]


def test_a_folder_that_one_machine_wrote_is_not_taken_for_its_own(workplace: Workplace, tmp_path: Path) -> None:
    clip = [workplace.clips / "first.mp4"]
    alone(clip, workplace.scenes / "gate", tmp_path, overlay=False, evidence=False)
    with pytest.raises(UserError, match="exists already"):
        spread(clip, workplace.scenes / "gate", tmp_path, overlay=False, evidence=False)


def test_a_bad_source_fails_alone_with_its_name(workplace: Workplace, tmp_path: Path) -> None:
    bad, said = tmp_path / "bad.mp4", io.StringIO()
    bad.write_bytes(b"no video")
    sources = [bad, workplace.clips / "first.mp4"]
    with pytest.raises(UserError, match="1 of 2 sources failed: bad"):
        spread(
            sources, workplace.scenes / "gate", tmp_path / "run", console=Console(file=said, width=200), overlay=False
        )
    assert "bad failed:" in said.getvalue()
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.name != ASIDE) == ["first"]


def test_a_damaged_video_is_scored_as_a_whole(workplace: Workplace, long: Path, tmp_path: Path) -> None:
    clip = Path(shutil.copy(long / "long.mp4", tmp_path / "torn.mp4"))
    overwrite_packets(clip, [130], keep=8)
    scene = workplace.scenes / "gate"
    alone([clip], scene, tmp_path / "one", overlay=False, evidence=False)
    spread([clip], scene, tmp_path / "two", seconds=3, overlay=False, evidence=False)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_parts_that_cannot_be_read_by_themselves_are_given_up(
    workplace: Workplace, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, part: ScorePart, *_: object) -> None:
        raise score_spread.PartError("no")

    monkeypatch.setattr(score_spread, "score_part", refuse)
    runner, scene = Noting(), workplace.scenes / "gate"
    spread([long], scene, tmp_path / "run", runner, seconds=6, overlay=False, evidence=False)
    assert runner.done == ["long", "long part 0", "long part 1", "long"]
    assert (tmp_path / "run" / "long" / "run.json").exists()


def test_results_at_a_url_are_those_of_a_folder(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    memory, clip = fsspec.filesystem("memory"), workplace.clips / "first.mp4"
    memory.put(str(clip), "/clips/first.mp4")
    alone([clip], workplace.scenes / "gate", tmp_path / "one", overlay=False)
    for done in (["first"], []):
        runner = Noting()
        spread(["memory://clips/first.mp4"], workplace.scenes / "gate", "memory://runs/today", runner, overlay=False)
        assert runner.done == done
    memory.get("/runs/today", str(tmp_path / "two"), recursive=True)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert json.loads(two.pop("first/run.json"))["source"] == "memory://clips/first.mp4"
    assert two == {name: content for name, content in one.items() if name != "first/run.json"}


def test_a_camera_is_refused_without_its_password(workplace: Workplace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is live") as refused:
        spread(["rtsp://viewer:secret@camera/stream"], workplace.scenes / "gate", tmp_path)
    assert "secret" not in str(refused.value)
