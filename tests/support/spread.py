"""`score` in units, called as the command does, and what is compared of two runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from msflow_stream.config.loading import load_for_scoring
from msflow_stream.config.settings import EngineSettings
from msflow_stream.scenes.exchange import scene_identity
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import Scorer
from pipelines.score import score
from pipelines.score_kept import ASIDE
from pipelines.score_source import ScoreJob
from pipelines.score_spread import ScorerFacts, SpreadJob
from pipelines.score_units import score_units
from pipelines.storage.places import place
from pipelines.units import Here, Unit, UnitRunner

ENGINE = EngineSettings(name="torch", precision="float32")
QUIET = Console(quiet=True)


class Noting(Here):
    """Runs units here, and notes which were done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def run(self, units: Any, on_done: Any, title: str = "") -> None:
        def noted(unit: Unit, answer: Any) -> Any:
            self.done.append(unit.key)
            return on_done(unit, answer)

        super().run(units, noted, title)


def spread(
    sources: Sequence[Path | str],
    scene: Path,
    out: Path | str,
    runner: UnitRunner | None = None,
    console: Console = QUIET,
    seconds: float | None = None,
    truth: tuple[Path | None, Path | None] = (None, None),
    **job: Any,
) -> Any:
    """Runs `score` in units, with parts of so many seconds."""
    loaded = Scene.load(scene)
    settings = load_for_scoring(loaded.settings, None, [])
    facts = ScorerFacts(scene, scene_identity(scene), "cpu", settings.score, ENGINE)
    own = ScoreJob(out=Path("unused"), event=settings.event, **job)
    units = SpreadJob(own, place(out), *truth, part_seconds=seconds)
    return score_units([str(one) for one in sources], loaded, facts, units, runner, console)


def alone(sources: Sequence[Path], scene: Path, out: Path, **job: Any) -> Any:
    """Runs `score` as it is on one machine."""
    loaded = Scene.load(scene)
    settings = load_for_scoring(loaded.settings, None, [])
    scorer = Scorer(loaded, "cpu", settings.score, make_inference(ENGINE))
    return score([str(one) for one in sources], scorer, ScoreJob(out=out, event=settings.event, **job), QUIET)


def contents(folder: Path) -> dict[str, bytes]:
    """Returns all files of a run; of run.json, what does not tell how long it took."""
    files = [path for path in folder.rglob("*") if path.is_file() and ASIDE not in path.parts]
    return {str(path.relative_to(folder)): _content(path) for path in files}


def _content(path: Path) -> bytes:
    if path.name != "run.json":
        return path.read_bytes()
    facts = json.loads(path.read_text())
    return json.dumps(
        {name: facts[name] for name in facts.keys() - {"seconds", "frames_per_second"}}, sort_keys=True
    ).encode()
