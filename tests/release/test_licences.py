"""docs/licenses.md lists what the environment of constraints.txt says about everything that is required."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.licences import MARK, PAGE, tables
from release.required import pins, required, stated_licence, wanted

CUDA = "nvidia-cublas"  # PyTorch's builds for the CPU bring no such package
WORDS, _, TABLES = PAGE.read_text(encoding="utf-8").partition(MARK)
FIRST_CELLS = [line.split("|")[1] for line in WORDS.splitlines() if line.startswith("| `")]
THOUGHT = {name for cell in FIRST_CELLS for name in re.findall(r"`([^`]+)`", cell)}


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def needs_tested_versions() -> None:
    there = {name: installed(name) for name in (*pins(), CUDA)}
    other = [name for name, tested in pins().items() if there[name] not in (tested, None)]
    if other or there[CUDA] is None:
        pytest.skip(f"not the environment that the page is about: {', '.join(other[:5]) or 'PyTorch for the CPU'}")


def test_the_page_of_licences_is_that_of_the_tested_versions() -> None:
    needs_tested_versions()
    assert TABLES.strip() == tables().strip(), "make licences"


def test_all_that_pyproject_asks_for_has_a_row() -> None:
    rows = {canonicalize_name(name) for name in re.findall(r"^\| \[([\w.-]+)\]", TABLES, re.MULTILINE)}
    asked = {canonicalize_name(Requirement(one).name) for extra in wanted().values() for one in extra}
    assert asked - rows == {"msflow-stream"}


def test_what_needs_thought_is_required() -> None:
    assert len(THOUGHT) > 10
    assert {name for name in THOUGHT if f"[{name}]" not in TABLES} == set()


def test_a_licence_that_asks_for_more_than_its_notice_is_thought_about() -> None:
    needs_tested_versions()
    asking = re.compile(r"GPL|MPL|Proprietary|not stated", re.IGNORECASE)
    found = {one.name for one in required().values() if asking.search(one.licence)}
    assert {name for name in found if not name.startswith("nvidia-")} <= THOUGHT
    assert found & THOUGHT


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: MIT AND PSF-2.0", "MIT AND PSF-2.0"),
        ("License: Apache License, Version 2.0", "Apache-2.0"),
        ("License: Beer-ware", "Beer-ware"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", "MIT"),
        (
            "License: Copyright\n        and many words\nClassifier: License :: OSI Approved :: BSD License",
            "BSD License",
        ),
        ("Classifier: License :: OSI Approved\nClassifier: License :: Public Domain", "Public Domain"),
        ("Classifier: Environment :: GPU", "not stated"),
    ],
)
def test_a_licence_is_what_the_metadata_states(lines: str, licence: str, tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thing\nVersion: 1\n{lines}\n")
    assert stated_licence(Distribution.at(folder).metadata) == licence
