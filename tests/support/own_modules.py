"""Our own modules by name, and what each of them needs, read from their text: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.data import REPOSITORY

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@cache
def own_modules() -> dict[str, Path]:
    """Returns the files of all modules, by name."""
    found = {}
    for folder in ("msflow_stream", "pipelines"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree_of(module: str) -> ast.Module:
    """Returns a module as Python reads it."""
    return ast.parse(own_modules()[module].read_text(encoding="utf-8"))


@cache
def needed(roots: tuple[str, ...]) -> frozenset[str]:
    """Returns the modules that these need, at once or when a function of theirs is called, and so on."""
    found, waiting = set[str](), list(roots)
    while waiting:
        name = waiting.pop()
        while name and name not in own_modules():
            name = name.rpartition(".")[0]
        if name and name not in found:
            found.add(name)
            waiting += [name.rpartition(".")[0], *(one for _, one in imports(name))]
    return frozenset(found)


def imports(module: str) -> Iterator[tuple[ast.AST, str]]:
    """Yields the imports of a module, and all names that each may mean; not those for types alone."""
    package = module if own_modules()[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from ((node, name) for name in (base, *(f"{base}.{alias.name}" for alias in node.names)))
