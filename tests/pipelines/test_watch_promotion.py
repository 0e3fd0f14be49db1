"""A candidate is beside its scene in a real watch; the rule promotes it, and the watch goes on with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from msflow_stream.teaching.promotion import BY
from msflow_stream.teaching.versions import Versions
from tests.pipelines.conftest import Workplace
from tests.support.stage import Stage
from tests.support.watching import Watching, until

OTHER = 9.0  # threshold of the candidate


def test_the_rule_promotes_after_the_shadow_and_the_watch_takes_it_up(
    workplace: Workplace, prompt_scenes: Path, tmp_path: Path
) -> None:
    scenes = Path(shutil.copytree(prompt_scenes, tmp_path / "scenes"))
    versions = Versions(scenes / "gate")
    staged = Path(shutil.copytree(scenes / "gate", tmp_path / "staged"))
    record = json.loads((staged / "scene.json").read_text())
    record["settings"]["score"]["threshold"] = OTHER
    (staged / "scene.json").write_text(json.dumps(record))
    versions.propose(staged, by="anna", comparison={"refusals": []})
    rule = {"promote": "auto", "shadow": "1s"}
    with (
        Stage(workplace.folder / "normal.mp4", tmp_path) as stage,
        Watching(tmp_path, scenes, {"gate": stage.camera}, teaching=rule) as watch,
    ):
        watch.wait_for_scores("gate")
        assert float(watch.rows("gate")[-1]["threshold"]) != OTHER
        until(lambda: versions.candidate is None, "it is not promoted")
        until(lambda: float(watch.rows("gate")[-1]["threshold"]) == OTHER, "it is not taken up")
    assert versions.live is not None
    assert versions.live.promoted_by == BY
    assert [one.state for one in versions.entries] == ["earlier", "live"]
