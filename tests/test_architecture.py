"""The import order of the design, read from the source with `ast`: a module imports only from floors below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY

LIBRARY = "msflow_stream"

# From the ground up; a part is a file or folder of msflow_stream, msflow_stream/__init__.py as what users of the
# library see of them, or one of the two things on top. Parts of one floor do not know each other.
FLOORS: list[set[str]] = [
    {"types", "batches", "smoothing", "files", "tails"},
    {"gate", "config", "machine", "checkpoints", "results", "normal_scores"},
    {"alert_settings"},
    {"cameras", "features", "model", "video", "datasets", "metrics", "report"},
    {"scene"},
    {"footage", "bank", "areas", "engines"},
    {"calibration"},
    {"training", "scorer", "events", "pretraining"},
    {"stream"},
    {"sinks", "health"},
    {LIBRARY},
    {"pipelines"},
    {"cli"},
]
FLOOR_OF = {part: number for number, parts in enumerate(FLOORS) for part in parts}

# Parts that need less than their floor would let them have.
NO_MORE_THAN: dict[str, set[str]] = {
    "config": {"types"},
    "machine": {"types"},
    "cameras": {"alert_settings", "config", "types"},
    "alert_settings": {"config", "types"},
    "checkpoints": {"files"},
    "features": {"machine"},
    "results": {"types", "files"},
    "normal_scores": {"types"},
    "report": {"results"},
}

# Packages that a part does without, directly and through whatever it imports.
DOES_WITHOUT: dict[str, set[str]] = {
    "health": {"torch", "torchvision", "timm"},
    "sinks": {"torch", "torchvision", "timm"},
    "model": {"av", "cv2"},
    "video": {"torch", "torchvision", "timm"},
    "stream": {"torch", "torchvision", "timm", "av", "cv2"},
    "types": {"torch", "torchvision", "timm", "av", "cv2"},
    "config": {"torch", "torchvision", "timm", "av", "cv2"},
}


def sources() -> list[Path]:
    return [
        REPOSITORY / "cli.py",
        *sorted((REPOSITORY / "pipelines").rglob("*.py")),
        *sorted((REPOSITORY / LIBRARY).rglob("*.py")),
    ]


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sources()}


def part_of(module: str) -> str | None:
    """The part that a module of the project belongs to; None for other packages."""
    first, *rest = module.split(".")
    if first == LIBRARY and rest:
        return rest[0]
    return first if first in (LIBRARY, "pipelines", "cli") else None


def imported(module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, wherever in the file it does."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *(node.module.split(".") if node.module else [])])
            for alias in node.names:  # `from package import module` imports the module
                yield node.lineno, f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


def forbidden(part: str, wanted: str) -> str | None:
    """Why `part` may not import `wanted`; None if it may."""
    if part == wanted:
        return None
    if FLOOR_OF[wanted] >= FLOOR_OF[part]:
        where = "on the same floor as" if FLOOR_OF[wanted] == FLOOR_OF[part] else "above"
        return f"{wanted} is {where} {part}"
    if part in NO_MORE_THAN and wanted not in NO_MORE_THAN[part]:
        return f"{part} needs no more than {', '.join(sorted(NO_MORE_THAN[part]))}"
    return None


def reached(part: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every package that a part imports: its name, where, and through which modules."""
    paths: dict[str, tuple[str, ...]] = {module: (module,) for module in MODULES if part_of(module) == part}
    queue = list(paths)
    while queue:
        module = queue.pop(0)
        for line, name in imported(module):
            if name in MODULES:
                if name not in paths:
                    paths[name] = (*paths[module], name)
                    queue.append(name)
            else:
                yield name.split(".")[0], f"{MODULES[module].relative_to(REPOSITORY)}:{line}", paths[module]


def test_every_module_has_its_place_in_the_import_order() -> None:
    homeless = {part for module in MODULES if (part := part_of(module)) is not None} - FLOOR_OF.keys()
    assert not homeless, f"say in FLOORS of {Path(__file__).name} between which floors these belong: {sorted(homeless)}"


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in FLOOR_OF])
def test_a_module_imports_only_from_the_floors_below(module: str) -> None:
    part = part_of(module)
    assert part is not None
    wrong = [
        f"{MODULES[module].relative_to(REPOSITORY)}:{line} imports {name}: {why}"
        for line, name in imported(module)
        if (wanted := part_of(name)) in FLOOR_OF and wanted is not None and (why := forbidden(part, wanted))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", DOES_WITHOUT)
def test_a_part_does_without_what_it_is_to_be_tested_without(part: str) -> None:
    wrong = [
        f"{part} does without {package}, but {where} imports it (reached by {' -> '.join(way)})"
        for package, where, way in reached(part)
        if package in DOES_WITHOUT[part]
    ]
    assert not wrong, "\n".join(wrong)
