"""CHANGELOG.md has the form of Keep a Changelog, and its newest version is the package's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import pytest
from packaging.version import InvalidVersion, Version

import msflow_stream
from tests.support.data import REPOSITORY

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
TITLE = re.compile(r"## (?:\[(?P<linked>[^\]]+)\]|(?P<plain>\S+))(?: - (?P<day>\S+))?(?P<yanked> \[YANKED\])?")
GOOD = """# Changelog

## [Unreleased]

### Fixed
- What is not out yet.

## 0.2.0 - 2026-03-31

### Added
- Something,
  on two lines.

## 0.1.0 - 2026-01-02 [YANKED]

### Added
- All.

[Unreleased]: https://example.org/compare
"""


def problems(text: str) -> Iterator[str]:
    """Yields what a changelog has that Keep a Changelog does not."""
    sections: list[tuple[str, str | None]] = []
    kinds: list[str] = []
    for line in text.splitlines():
        if line.startswith("## "):
            found, kinds = TITLE.fullmatch(line), []
            if found is None:
                yield f"no title of a version: {line}"
                continue
            sections.append((found["linked"] or found["plain"], found["day"]))
            if found["linked"] and f"\n[{found['linked']}]: http" not in text:
                yield f"no link behind {line}"
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            if kind not in KINDS or kind in kinds:
                yield f"not one of the six kinds of change, each once: {line}"
            kinds.append(kind)
        elif line.startswith(("- ", "* ")) and not kinds:
            yield f"a change of no kind: {line}"
    if not text.startswith("# Changelog\n") or not sections or sections[0] != ("Unreleased", None):
        yield "does not begin with what is unreleased"
    yield from _disorder(sections[1:])


def _disorder(sections: list[tuple[str, str | None]]) -> Iterator[str]:
    previous: tuple[Version, date] | None = None
    for name, day in sections:
        try:
            this = Version(name), date.fromisoformat(day or "")
        except (InvalidVersion, ValueError) as error:
            yield f"{name}: {error}"
            continue
        if previous and not (this[0] < previous[0] and this[1] <= previous[1]):
            yield f"{name} is below a version that is older"
        previous = this


def released(text: str) -> list[str]:
    """The versions that have a section, the newest first."""
    names = [found["linked"] or found["plain"] for line in text.splitlines() if (found := TITLE.fullmatch(line))]
    return names[1:]


def test_a_changelog_without_fault_has_no_problem() -> None:
    assert list(problems(GOOD)) == []
    assert released(GOOD) == ["0.2.0", "0.1.0"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("## [Unreleased]", "## [Unreleased] - soon"),
        ("[Unreleased]: https", "Unreleased: https"),
        ("2026-03-31", "31.3.2026"),
        ("0.2.0 - 2026-03-31", "0.2.0"),
        ("0.2.0 ", "0.0.9 "),
        ("2026-03-31", "2025-12-31"),
        ("### Fixed", "### Repaired"),
        ("### Fixed\n", ""),
        ("## 0.2.0 - 2026-03-31", "## Version two"),
        ("# Changelog", "# Changes"),
    ],
)
def test_each_fault_of_a_changelog_is_seen(right: str, wrong: str) -> None:
    assert len(list(problems(GOOD.replace(right, wrong, 1)))) == 1


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    assert list(problems((REPOSITORY / "CHANGELOG.md").read_text())) == []


def test_the_newest_released_version_is_the_packages() -> None:
    assert released((REPOSITORY / "CHANGELOG.md").read_text())[:1] in ([], [msflow_stream.__version__])
