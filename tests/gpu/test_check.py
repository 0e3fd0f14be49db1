"""The check itself: no claim stops another, and no point takes more time than it has."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch

from tests.gpu.check import GRACE
from tests.gpu.points import POINTS, TOTAL
from tests.gpu.report import At, Check, TimeIsUpError
from tests.gpu.wheels import PACKAGES, pinned

LIMIT = 480.0  # seconds


def at(seconds: float, checks: list[Check]) -> At:
    return At("point", torch.device("cpu"), seconds, checks.append)


def test_a_claim_that_fails_or_raises_does_not_stop_the_next() -> None:
    checks: list[Check] = []
    here = at(60, checks)
    with here.case("first") as case:
        raise ValueError("broken\nin two")
    with here.case("second") as case:
        case.below(2.0, 1.0, "the error is")
    with here.case("third") as case:
        case.below(0.5, 1.0, "the error is")
    with here.case("fourth"):
        pass
    assert [check.verdict for check in checks] == ["FAIL", "FAIL", "PASS", "FAIL"]
    assert checks[0].text == "first: ValueError: broken in two"
    assert checks[2].text == "third: the error is 0.5 (at most 1)"
    assert (checks[2].figure, checks[2].bound) == (0.5, 1.0)


def test_a_claim_that_is_not_a_number_fails() -> None:
    checks: list[Check] = []
    with at(60, checks).case("claim") as case:
        case.below(float("nan"), 1.0)
    assert checks[0].verdict == "FAIL"


def test_a_claim_for_which_there_is_no_time_is_not_begun() -> None:
    checks: list[Check] = []
    with pytest.raises(TimeIsUpError, match="slow"), at(5, checks).case("slow", needs=6):
        pytest.fail("begun")
    assert checks == []


def test_without_a_gpu_what_needs_one_is_named() -> None:
    checks: list[Check] = []
    assert not at(5, checks).needs_cuda("graphs", "kernels")
    assert [(check.verdict, check.text) for check in checks] == [
        ("SKIP", "graphs: needs CUDA"),
        ("SKIP", "kernels: needs CUDA"),
    ]


def test_all_points_are_there_and_end_in_time() -> None:
    assert all(callable(import_module(f"tests.gpu.points.{point.name}").check) for point in POINTS)
    assert len(POINTS) == len(list(Path(__file__).parent.glob("points/[a-z]*.py"))) == 10
    assert TOTAL + GRACE < LIMIT


def test_the_packages_that_travel_have_versions() -> None:
    assert all(pinned(name) for name in PACKAGES)
