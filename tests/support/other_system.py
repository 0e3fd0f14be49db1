"""Verbs in a process that looks to our own code as if it ran on Windows or on macOS, and to nothing else in it.

What our modules import of Python lacks what it lacks there; other libraries see the system as it is. Files of Linux's
own, /proc and /sys, are away. On "Windows", files that are open or mapped can be neither moved nor removed, names that
it does not know are refused, a text file without an encoding is an error, and the clock is as coarse. Backslashes,
drives, the file system itself, consoles and what libraries do there cannot be had.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import json
import ntpath
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath
from types import FrameType, ModuleType
from typing import Any, NoReturn

from tests.support.systems import VIEWED, System, lacking, missing

OWN = ("cli", "msflow_stream", "pipelines")
PASSES_ON = ("pathlib", "io", "codecs", "contextlib", __name__)  # who opens files for others
TICK = 1 / 64  # seconds of Windows' clock
CRASHED = 70
NEVER_IN_NAMES = re.compile(r'[\x00-\x1f"*:<>?|]|[. ]$')


class View(ModuleType):
    """A module as another system has it."""

    def __init__(self, module: ModuleType, lacks: frozenset[str], other: dict[str, object]) -> None:
        super().__init__(module.__name__)
        self.__dict__["_facts"] = module, lacks, other

    def __getattr__(self, name: str) -> Any:
        module, lacks, other = self.__dict__["_facts"]
        if name in other:
            return other[name]
        if name in lacks:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r} here")
        return getattr(module, name)


def views(system: System) -> dict[str, ModuleType]:
    """Returns what our code gets for Python's modules."""
    known = {"win32": ("Windows", "nt"), "darwin": ("Darwin", "posix")}[system]
    other: dict[str, dict[str, object]] = {name: {} for name in VIEWED}
    other["sys"]["platform"], other["os"]["name"], other["platform"]["system"] = system, known[1], lambda: known[0]
    if system == "win32":
        other["time"]["monotonic"] = lambda: time.monotonic() // TICK * TICK
        other["ctypes"]["CDLL"] = _load
    return {name: View(importlib.import_module(name), lacking(name, system), other[name]) for name in VIEWED}


def _load(name: str | None, *arguments: Any, **others: Any) -> Any:
    import ctypes

    if name is None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")
    return ctypes.CDLL(name, *arguments, **others)


def pretend(system: System) -> None:
    """Has what our modules import from now on look as on another system."""
    shown, gone, load = views(system), missing(system), builtins.__import__

    def find(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        top = name.partition(".")[0]
        if level == 0 and globals is not None and _is_own(globals.get("__name__")):
            if top in gone:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if top in shown:
                load(name, globals, locals, fromlist, level)
                return shown[top]
        return load(name, globals, locals, fromlist, level)

    builtins.__import__ = find


def _is_own(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in OWN


def _asked_by_us() -> bool:
    """Returns whether our own code opens the file, not a library that it uses."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in PASSES_ON:
        frame = frame.f_back
    return frame is not None and _is_own(frame.f_globals.get("__name__"))


class Rules:
    """The rules of another system for files below a folder, as an audit hook."""

    def __init__(self, system: System, folder: Path) -> None:
        self._windows, self._folder, self._here = system == "win32", str(folder), threading.local()
        self._looks: dict[str, Callable[..., None]] = {
            "open": self._opened,
            "os.listdir": self._read,
            "os.scandir": self._read,
            "os.mkdir": self._named,
            "os.rename": self._renamed,
            "os.remove": self._removed,
        }

    def __call__(self, event: str, facts: tuple[Any, ...]) -> None:
        look = self._looks.get(event)
        if look is None or getattr(self._here, "looks", False):
            return
        self._here.looks = True  # what this thread opens meanwhile, it opens here
        try:
            look(*facts)
        finally:
            self._here.looks = False

    def _read(self, path: object = None) -> None:
        if isinstance(path, str) and path.startswith(("/proc/", "/sys/")) and _asked_by_us():
            raise FileNotFoundError(errno.ENOENT, "there is no such file on this system", path)

    def _opened(self, path: object, mode: object, flags: int) -> None:
        self._read(path)
        if flags & os.O_CREAT:
            self._named(path)

    def _named(self, path: object, *_: object) -> None:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if self._windows and text.startswith(self._folder):
            for part in Path(text[len(self._folder) :].lstrip("/")).parts:
                if NEVER_IN_NAMES.search(part) or _is_reserved(part):
                    raise OSError(errno.EINVAL, "Windows knows no such name", text)

    def _renamed(self, source: Any, target: Any, *_: object) -> None:
        self._named(target)
        self._free(os.fsdecode(source))
        self._free(os.fsdecode(target))

    def _removed(self, path: Any, folder: int) -> None:
        text = os.fsdecode(path)
        self._free(str(Path(f"/proc/self/fd/{folder}").readlink() / text) if folder >= 0 else text)

    def _free(self, path: str) -> None:
        path = os.path.abspath(path)  # noqa: PTH100  links stay as they are
        if not self._windows or not path.startswith(self._folder):
            return
        for one in in_use():
            if one == path or one.startswith(path + "/"):
                raise PermissionError(errno.EACCES, "it is open, or mapped into memory", one)


def _is_reserved(name: str) -> bool:
    told = getattr(ntpath, "isreserved", None)  # from Python 3.13 on
    return bool(told(name)) if told is not None else PureWindowsPath(name).is_reserved()


def in_use() -> Iterator[str]:
    """Yields the files that this process has open, or mapped."""
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  each is gone as soon as it is looked at, perhaps
        try:
            path = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except FileNotFoundError:
            continue
        if not os.path.isdir(path):  # noqa: PTH112
            yield path
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        _, slash, path = line.partition("/")
        yield slash + path


def run(command: list[str]) -> int:
    """Returns the exit code of a verb; of Python, where the first word is `python`."""
    from pipelines.commands.app import main

    sys.argv = ["msflow-stream", *command]
    try:
        if command[0] == "python":
            exec(command[1], {"__name__": OWN[0]})
        else:
            main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return CRASHED
    return 0


def take_over(system: System, folder: Path, commands: list[list[str]]) -> NoReturn:
    """Runs commands as if on another system, prints their exit codes, and ends the process.

    Args:
        folder: where they write, below which files have that system's rules.
    """
    for name in [name for name in sys.modules if _is_own(name)]:
        del sys.modules[name]  # or they would have what they imported
    pretend(system)
    if system == "win32":
        io.text_encoding = _named_encoding
    sys.addaudithook(Rules(system, folder))
    print(json.dumps([run(one) for one in commands]))  # noqa: T201
    raise SystemExit


def _named_encoding(encoding: str | None, stacklevel: int = 2) -> str:
    if encoding is None and _asked_by_us():
        raise EncodingWarning("text in an encoding that differs with the system")
    return "utf-8" if encoding is None else encoding
