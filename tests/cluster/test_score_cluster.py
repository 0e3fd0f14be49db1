"""`score` on three nodes, of which one dies: the files are those of one machine, and each is there once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.score_kept import ASIDE
from pipelines.units import Unit
from tests.pipelines.conftest import Workplace
from tests.pipelines.test_score_units import long as long
from tests.support.ray_cluster import kill_node
from tests.support.spread import alone, contents, spread

pytest.importorskip("ray")

from pipelines.cluster.session import Session, connected

pytestmark = pytest.mark.cluster


class Deadly:
    """A cluster of which a node dies once so many units are done."""

    def __init__(self, session: Session, cluster: Any, after: int) -> None:
        self.share, self._session, self._cluster, self._left = session.share, session, cluster, after
        self.done: list[str] = []

    def run(self, units: Any, on_done: Any, title: str = "") -> None:
        def noted(unit: Unit, answer: Any) -> Any:
            self.done.append(unit.key)
            self._left -= 1
            if self._left == 0:
                kill_node(self._cluster.list_all_nodes()[1])
            return on_done(unit, answer)

        self._session.run(units, noted, title)


def test_a_node_that_dies_in_mid_job_leaves_no_trace(
    three_nodes: Any, workplace: Workplace, long: Path, tmp_path: Path
) -> None:
    sources, scene = [*sorted(workplace.clips.glob("*.mp4")), long / "long.mp4"], workplace.scenes / "gate"
    alone(sources, scene, tmp_path / "one", save_maps=True)
    with connected(three_nodes.address) as session:
        runner = Deadly(session, three_nodes, after=3)
        spread(sources, scene, tmp_path / "many", runner, seconds=3, save_maps=True)
        assert sorted(runner.done) == sorted(
            ["first", "second", "long", *(f"long part {number}" for number in range(4)), "long"]
        )
        assert contents(tmp_path / "many") == contents(tmp_path / "one")
        assert not (tmp_path / "many" / ASIDE / "staging").exists()
        again = Deadly(session, three_nodes, after=0)
        spread(sources, scene, tmp_path / "many", again, seconds=3, save_maps=True)
        assert again.done == []
