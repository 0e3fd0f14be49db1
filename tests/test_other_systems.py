"""Windows and macOS: what can be known of them on Linux.

No test ran on either. Our own modules get what Python has there, and no more (`tests/support/other_system.py`): so it
is proven that verbs ask for nothing that is not there and, on "Windows", that they neither move nor remove files that
are open or mapped, make no names that it does not know, and name the encodings of texts. It is not proven what Python
itself, other libraries, drives, consoles, file systems and signals do there. `demo`, a fit and a score, is not run.
"""

from __future__ import annotations

import ast
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from msflow_stream.scenes.checkpoints import Checkpoint, FileCheckpoints
from pipelines.commands.app import _print_what_can_be
from tests.support.footage import small_flags, write_clip
from tests.support.other_system import in_use
from tests.support.own_modules import imports, needed, own_modules, tree_of
from tests.support.prepared import prepared
from tests.support.stills import write_mvtec
from tests.support.systems import VIEWED, System, lacking, missing

pytest.importorskip("mypy")  # which comes with what Python has on which system
OTHERS: tuple[System, ...] = ("win32", "darwin")
VERBS = (*(f"pipelines.commands.{name}" for name in ("demo", "evaluate", "fit", "record", "score")), "pipelines.api")
API = """
import msflow_stream as ms
scene = ms.load({scene!r})
assert len(list(ms.score({clip!r}, scene, device="cpu", engine="torch", progress=False))) == 10
ms.fit({clip!r}, save={scene!r}, settings={settings!r}, device="cpu", overwrite=True, progress=False)
assert scene.name == "gate"  # it is alive while its folder is replaced
"""


def done_in(folder: Path) -> dict[str, list[object]]:
    """Commands that work on every system."""
    clip, plates, scenes = (
        write_clip(folder, "normal", 2.0),
        write_mvtec(folder / "plates", fit=4, test=2),
        folder / "scenes",
    )
    quick, scene = small_flags("fit.passes=1"), ["--scenes", scenes, "--device", "cpu"]
    truth = ["--labels", folder / "labels", "--masks", folder / "masks"]
    kept = ["--save-maps", "--store", folder / "events.db", "--set", "score.threshold=0.001"]  # there is an event
    settings = dict(one.split("=", 1) for one in quick[1::2])
    return {
        "fit": ["fit", clip, "--scene", "gate", *scene, *quick, "--set", "fit.cache_memory=1e-5"],  # GiB: on the disk
        "score": ["score", clip, "--scene", "gate", *scene, "--out", folder / "run", *truth, *kept],
        "calibrate": ["calibrate", "gate", *scene, "--normal", clip],
        "evaluate": ["evaluate", "mvtec", "--root", plates, "--out", folder / "evaluated", *quick],
        "info": ["info"],
        "doctor": ["doctor", "--out", folder, "--format", "json"],
        "from Python": ["python", API.format(scene=str(scenes / "gate"), clip=str(clip), settings=settings)],
    }


REFUSED: dict[str, list[object]] = {
    "watch": ["watch", "no.yaml"],
    "the console of a watch": ["console"],
    "--cluster": ["score", "no.mp4", "--scene", "gate", "--cluster", "auto"],
}


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks at /proc")
@pytest.mark.parametrize("system", OTHERS)
def test_verbs_run_with_what_python_has_on_another_system(system: System, tmp_path: Path) -> None:
    """See the docstring of this file for what this proves, and what not."""
    done = done_in(tmp_path)
    if system == "darwin":
        del done["evaluate"]  # time, for what asks the system for nothing that the others do not
    commands = [list(map(str, one)) for one in (*done.values(), *REFUSED.values())]
    before = f"""
from pathlib import Path
from tests.support.other_system import take_over
take_over({system!r}, Path({str(tmp_path)!r}), {commands!r})
"""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        code = prepared().begin([], out, err, before).wait(300)
    said, errors = (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
    assert code == 0, errors
    codes = dict(zip((*done, *REFUSED), json.loads(said.splitlines()[-1]), strict=True))
    assert codes == dict.fromkeys(done, 0) | dict.fromkeys(REFUSED, 2), said + errors
    named = [line.partition(" is for Linux;") for line in errors.splitlines() if " is for Linux;" in line]
    assert [one[0] for one in named] == [f"error: {what}" for what in REFUSED]
    assert (tmp_path / "run" / "normal" / "events").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_checkpoint_that_was_read_is_not_in_use(tmp_path: Path) -> None:
    store = FileCheckpoints(tmp_path)
    store.save(1, Checkpoint({"weight": torch.ones(1000)}, {}))
    newest = store.newest()
    assert newest is not None
    assert float(newest.tensors["weight"].sum()) == 1000
    assert not [one for one in in_use() if one.startswith(str(tmp_path))]


def test_characters_that_an_output_lacks_become_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="cp1252", newline=""))
    _print_what_can_be()
    Console(width=20).print("früh → spät")
    sys.stdout.flush()
    assert output.getvalue().decode("cp1252") == "früh ? spät\n"


def test_modules_that_verbs_need_import_nothing_that_another_system_lacks() -> None:
    for module in needed(VERBS):
        at_once = set(_at_once(tree_of(module)))
        for node, name in imports(module):
            assert node not in at_once or name not in missing("win32"), f"{module} imports {name}"


@pytest.mark.parametrize("system", OTHERS)
def test_verbs_ask_for_what_a_system_lacks_only_after_a_look_at_it(system: System) -> None:
    for module in needed(VERBS):
        tree = tree_of(module)
        asked = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_lacking(node, system)]
        if asked:
            careful = {node for part in ast.walk(tree) if _looks_first(part) for node in ast.walk(part)}
            assert not [f"{module}, line {node.lineno}: {ast.unparse(node)}" for node in asked if node not in careful]


def test_what_python_lacks_elsewhere_is_known_and_found() -> None:
    assert {"fork", "getuid", "sched_getaffinity"} <= lacking("os", "win32")
    assert {"sched_getaffinity"} <= lacking("os", "darwin")
    assert not {"fork", "getuid", "getpid"} & lacking("os", "darwin")
    assert {"SIGKILL", "SIGHUP"} <= lacking("signal", "win32")
    assert "SIGTERM" not in lacking("signal", "win32")
    assert "AF_UNIX" in lacking("socket", "win32")
    assert "fcntl" in missing("win32")
    assert not missing("darwin")
    assert {"msflow_stream.cores", "msflow_stream.video.live.camera_reader", "pipelines.doctor"} <= needed(VERBS)
    assert needed(VERBS) < own_modules().keys()


def _at_once(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields what runs when a module is imported, wherever it is."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _looks_first(node):
            continue
        yield node
        yield from _at_once(node)


def _looks_first(node: ast.AST) -> bool:
    """Returns whether it is a function, or a condition, that looks at the system."""
    if not isinstance(node, ast.FunctionDef | ast.If):
        return False
    text = ast.unparse(node)
    return "sys.platform" in text or "hasattr(os" in text


def _is_lacking(node: ast.Attribute, system: System) -> bool:
    module = node.value.id if isinstance(node.value, ast.Name) else ""
    return module in VIEWED and node.attr in lacking(module, system)
