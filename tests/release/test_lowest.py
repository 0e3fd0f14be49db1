"""The lower bounds of pyproject.toml are the versions of constraints-lowest.txt, which `make lowest` runs with."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.required import ELSEWHERE, pins, wanted

ASKED = [
    Requirement(one)
    for extra, requirements in wanted().items()
    if extra not in ELSEWHERE
    for one in requirements
    if not one.startswith("msflow-stream")
]
HERE = [one for one in ASKED if one.marker is None or one.marker.evaluate()]  # the others were run with nowhere


@pytest.mark.parametrize("asked", HERE, ids=lambda one: str(one))
def test_a_lower_bound_is_the_version_that_was_run_with(asked: Requirement) -> None:
    (bound,) = [Version(one.version) for one in asked.specifier if one.operator == ">="]
    assert Version(pins("constraints-lowest.txt")[canonicalize_name(asked.name)]) == bound


@pytest.mark.parametrize("asked", ASKED, ids=lambda one: str(one))
def test_the_tested_version_is_one_that_is_asked_for(asked: Requirement) -> None:
    assert asked.specifier.contains(pins()[canonicalize_name(asked.name)])
