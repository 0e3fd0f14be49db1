"""Units on a Ray cluster: each is done once, whatever dies, and none stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.types import UserError
from pipelines.units import Failed, Here, Unit, UnitRunner, Warm
from tests.cluster import jobs

pytest.importorskip("ray")

from pipelines.cluster import nodes
from pipelines.cluster.session import Session, connected


@pytest.fixture(scope="module")
def session(three_nodes: Any) -> Iterator[Session]:
    with connected(three_nodes.address) as session:
        yield session


def run(runner: UnitRunner, *units: Unit, follow: dict[str, list[Unit]] | None = None) -> dict[str, Any]:
    answers: dict[str, Any] = {}

    def done(unit: Unit, answer: Any) -> list[Unit]:
        assert unit.key not in answers
        answers[unit.key] = answer
        return (follow or {}).get(unit.key, [])

    runner.run(units, done, "testing")
    return answers


def test_units_run_in_other_processes_with_the_threads_of_this_one(session: Session) -> None:
    answers = run(session, *(Unit(f"{number}", jobs.process) for number in range(6)))
    assert len(answers) == 6
    assert {threads for _, threads in answers.values()} == {"1"}


def test_what_fails_fails_alone(session: Session) -> None:
    units = Unit("bad", jobs.fail, ("no such file",)), Unit("worse", jobs.break_down), Unit("good", jobs.process)
    answers = run(session, *units)
    assert answers["bad"] == Failed("no such file")
    assert answers["worse"] == Failed("KeyError: 'a mistake'")
    assert not isinstance(answers["good"], Failed)


@pytest.mark.parametrize("warm", [None, Warm(jobs.make)])
def test_a_unit_whose_process_dies_is_done_again(session: Session, tmp_path: Path, warm: Warm | None) -> None:
    call = jobs.die_once if warm is None else jobs.use
    units = [Unit("once", call, (tmp_path / "mark",), warm=warm), Unit("other", call, (tmp_path,), warm=warm)]
    answers = run(session, *units)
    assert not any(isinstance(answer, Failed) for answer in answers.values())


@pytest.mark.long
def test_a_unit_that_kills_its_process_every_time_fails(session: Session) -> None:
    answers = run(session, Unit("deadly", jobs.die), Unit("good", jobs.process))
    assert isinstance(answers["deadly"], Failed)
    assert "died" in answers["deadly"].text


def test_what_is_warm_is_made_once_per_process(session: Session) -> None:
    warm = Warm(jobs.make)
    answers = run(session, *(Unit(f"{number}", jobs.use, warm=warm) for number in range(9)))
    uses: dict[int, list[int]] = {}
    for process, count in answers.values():
        uses.setdefault(process, []).append(count)
    assert 1 <= len(uses) <= 6
    assert all(sorted(counts) == list(range(1, len(counts) + 1)) for counts in uses.values())


@pytest.mark.parametrize("here", [True, False])
def test_units_that_follow_from_others_are_done_too(session: Session, here: bool) -> None:
    runner = Here() if here else session
    answers = run(runner, Unit("first", jobs.process), follow={"first": [Unit("second", jobs.process)]})
    assert list(answers) == ["first", "second"]


def test_an_error_of_the_job_ends_the_run_and_not_the_cluster(session: Session) -> None:
    def done(unit: Unit, answer: Any) -> None:
        raise UserError("that is enough")

    with pytest.raises(UserError, match="enough"):
        session.run([Unit(f"{number}", jobs.process) for number in range(4)], done)
    assert run(session, Unit("again", jobs.process))


def test_a_node_of_another_version_is_named(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes.msflow_stream, "__version__", "0.0.1")
    with pytest.raises(UserError, match=r"node .*-[0-9a-f]{8} has msflow-stream .*, and this machine 0\.0\.1"):
        nodes.check_nodes()
