"""Shows that fits and evaluations on three nodes leave the files of one machine, whatever dies in the middle.

    python -m tests.cluster.shows_batch_fits

`evaluate mstc` of three scenes and `fit --scenes-from` of four run on one machine; then on a cluster of three nodes;
with a node killed by SIGKILL in the middle of a fit; and with the head killed, and the same command again on a new
cluster. After each, all files are compared byte for byte, hidden ones too, so that what is there twice or half-written
is found as well. What may differ is when a fit was and what time it took: `created` and `seconds` in scene.json, and
`seconds` in loss.csv. Ends with 1 where something is not so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cli
from tests.support.batch_jobs import differences, node_in_a_fit, write_views, write_walkways
from tests.support.footage import small_flags
from tests.support.ray_cluster import kill_node, ray_cluster
from tests.support.watching import until

FLAGS = [*small_flags("fit.passes=20"), "--device", "cpu"]
ENGINE = ["--engine", "torch", "--precision", "float32"]
ENDS = 600.0  # seconds that a command may take


def main() -> int:
    """Shows everything; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="shows-batch-fits-") as name:
        folder = Path(name)
        tree = write_walkways(folder / "campus", ["01", "02", "03"], 4)
        views = write_views(folder / "views", ["door", "gate", "hall", "yard"], 6)
        evaluating = ["evaluate", "mstc", "--root", str(tree), *FLAGS, *ENGINE, "--out"]
        fitting = ["fit", "--scenes-from", str(views), *FLAGS, "--scenes"]
        shown = [
            *_show(folder / "evaluate", "evaluate mstc of 3 scenes", evaluating, "scenes"),
            *_show(folder / "fit", "fit --scenes-from of 4 scenes", fitting, ""),
        ]
    print("all of it is so" if all(shown) else "NOT all of it is so")
    return 0 if all(shown) else 1


def _show(folder: Path, title: str, command: list[str], scenes: str) -> Iterator[bool]:
    """Runs a command in all circumstances; yields whether its files are those of one machine."""
    here, seconds = folder / "here", time.monotonic()
    _ended(_started([*command, str(here)]), 0)
    print(f"{title}: {_count(here)} files in {time.monotonic() - seconds:.0f} s on one machine", flush=True)
    for circumstance, run in (
        ("on three nodes", _undisturbed),
        ("a node killed in the middle of a fit", _node_killed),
        ("the head killed in the middle of fits, and the same command again", _head_killed),
    ):
        there, seconds = folder / run.__name__, time.monotonic()
        run([*command, str(there), "--cluster"], there / scenes)
        found = differences(here, there)
        answer = f"differ: {', '.join(found)}" if found else f"{_count(there)} files, the same"
        print(f"{title}, {circumstance}: {answer}, in {time.monotonic() - seconds:.0f} s", flush=True)
        yield not found


def _undisturbed(command: list[str], scenes: Path) -> None:
    with ray_cluster(nodes=3) as cluster:
        _ended(_started([*command, cluster.address]), 0)


def _node_killed(command: list[str], scenes: Path) -> None:
    with ray_cluster(nodes=3) as cluster:
        driver = _started([*command, cluster.address])
        kill_node(_until(lambda: node_in_a_fit(cluster, scenes)))
        _ended(driver, 0)


def _head_killed(command: list[str], scenes: Path) -> None:
    with ray_cluster(nodes=3) as cluster:
        driver = _started([*command, cluster.address])
        _until(lambda: node_in_a_fit(cluster, scenes))
        kill_node(cluster.head_node)
        _ended(driver, 2)
    with ray_cluster(nodes=3) as cluster:
        _ended(_started([*command, cluster.address]), 0)


def _started(command: list[str]) -> subprocess.Popen[str]:
    arguments = [sys.executable, cli.__file__, *command]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _ended(process: subprocess.Popen[str], code: int) -> None:
    said, _ = process.communicate(timeout=ENDS)
    if process.returncode != code:
        sys.exit(f"ended with {process.returncode}, not {code}:\n{said}")


def _until(true: Callable[[], Any]) -> Any:
    return until(true, "no node came to a pass of a fit", patience=ENDS, pause=0.02)


def _count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
