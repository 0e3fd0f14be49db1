"""What Python lacks on Windows and on macOS, by typeshed: the descriptions of Python's modules that mypy comes with."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

System = Literal["linux", "win32", "darwin"]
VIEWED = ("ctypes", "mmap", "os", "platform", "select", "signal", "socket", "sys", "time")  # modules with differences
CHECKED = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")  # modules that may be lacking


@cache
def lacking(module: str, system: System) -> frozenset[str]:
    """Returns the names that a module has on Linux, and not on another system."""
    return _names(module, "linux") - _names(module, system)


@cache
def missing(system: System) -> frozenset[str]:
    """Returns the modules that Linux has, and another system has not."""
    return frozenset(module for module in CHECKED if not _names(module, system))


@cache
def _names(module: str, system: System) -> frozenset[str]:
    found = find_spec("mypy")
    assert found is not None
    assert found.origin is not None
    place = Path(found.origin).parent / "typeshed" / "stdlib"
    path = next(one for one in (place / f"{module}.pyi", place / module / "__init__.pyi") if one.is_file())
    known = {"sys": SimpleNamespace(platform=system, version_info=sys.version_info)}
    return frozenset(_defined(ast.parse(path.read_text(encoding="utf-8")).body, known))


def _defined(body: list[ast.stmt], known: dict[str, object]) -> set[str]:
    names = set[str]()
    for one in body:
        match one:
            case ast.If():  # of the platform, or of the version
                holds = eval(compile(ast.Expression(one.test), "", "eval"), dict(known))
                names |= _defined(one.body if holds else one.orelse, known)
            case ast.FunctionDef() | ast.ClassDef():
                names.add(one.name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign():
                names |= {target.id for target in one.targets if isinstance(target, ast.Name)}
            case ast.ImportFrom():  # what is imported as itself is the module's own
                names |= {alias.asname for alias in one.names if alias.asname == alias.name}
    return names
