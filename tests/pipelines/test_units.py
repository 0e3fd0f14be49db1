"""Units in this process: in their order, each with what is kept warm, and failures among the answers."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from msflow_stream.types import UserError
from pipelines.cluster.session import running
from pipelines.units import Failed, Here, Unit, Warm


def run(*units: Unit, follow: dict[str, list[Unit]] | None = None) -> list[tuple[str, Any]]:
    answers: list[tuple[str, Any]] = []

    def done(unit: Unit, answer: Any) -> list[Unit]:
        answers.append((unit.key, answer))
        return (follow or {}).get(unit.key, [])

    Here().run(units, done)
    return answers


def test_units_run_in_their_order_and_those_that_follow_right_after() -> None:
    follow = {"a": [Unit("a1", str, (2,)), Unit("a2", str, (3,))]}
    found = run(Unit("a", str, (1,)), Unit("b", str, (4,)), follow=follow)
    assert found == [("a", "1"), ("a1", "2"), ("a2", "3"), ("b", "4")]


def test_a_failure_is_an_answer_and_a_mistake_is_not() -> None:
    def fail() -> None:
        raise UserError("no such file")

    def break_down() -> None:
        raise KeyError("a mistake")

    (_, failed), (_, other) = run(Unit("bad", fail), Unit("good", str, (1,)))
    assert isinstance(failed, Failed)
    assert failed.text == "no such file"
    assert isinstance(failed.error, UserError)
    assert other == "1"
    with pytest.raises(KeyError):
        run(Unit("worse", break_down))


def test_what_is_warm_is_made_with_its_first_unit_and_handed_to_each() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name

    warm = Warm(make, ("scorer",))
    found = run(*(Unit(str(number), join, (number,), warm=warm) for number in range(2)))
    assert found == [("0", "scorer 0"), ("1", "scorer 1")]
    assert made == ["scorer"]


def join(made: str, number: int) -> str:
    return f"{made} {number}"


def test_without_an_address_units_run_here() -> None:
    with running(None) as runner:
        assert isinstance(runner, Here)
        assert runner.share("cuda:1") == ("cuda:1", 1, 0)


@pytest.mark.parametrize("address", ["somewhere", "ray://head", "head:port"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="is auto, HOST:PORT or ray://HOST:PORT"), running(address):
        pass


def test_a_head_that_is_not_there_is_one_line() -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "), running("127.0.0.1:1"):
        pass


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'msflow-stream\[cluster\]'"), running("auto"):
        pass
