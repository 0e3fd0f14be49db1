"""`fit --scenes-from`: a folder with footage of many cameras becomes a scene for each."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from msflow_stream.config.settings import Settings, scene_folder
from msflow_stream.files import VIDEO_SUFFIXES
from msflow_stream.machine import choose_device
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from pipelines.fit import FitJob, fit
from pipelines.terminal.progress import number, table

CAMPUS_NAME = re.compile(r"(\d+)_\d+")  # of ShanghaiTech Campus: scene, clip


def fit_many(root: Path, scenes: Path, settings: Settings, job: FitJob | None = None) -> bool:
    """Fits a scene for every camera in a folder, see `group_by_scene`; one that fails does not stop the others.

    Returns:
        Whether all were finished: False after Ctrl-C.

    Raises:
        UserError: nothing there, or, after all are done, the number of scenes that failed.
    """
    job, console = job or FitJob(), Console()
    groups = group_by_scene(root)
    pyramid = Scene.new("shared", settings).pyramid.to(choose_device(job.device))
    rows, failed, interrupted = [], 0, False
    for name, sources in groups.items():
        if interrupted:
            rows.append([name, "not started", "", "", "", ""])
            continue
        console.print(f"[bold]{name}[/]: {len(sources)} source{'s' * (len(sources) > 1)}")
        try:
            outcome = fit(sources, scene_folder(scenes, name), settings, job, console, pyramid)
        except (UserError, OSError, RuntimeError) as error:  # RuntimeError: out of memory on a GPU, for one
            failed += 1
            console.print(f"  [red]failed:[/] {error}", highlight=False)
            rows.append([name, "failed", "", "", "", ""])
            continue
        interrupted = outcome.state == "interrupted"
        facts = outcome.record
        figures = [str(facts["frames"]), str(facts["passes"]), number(facts["loss"][-1]), f"{facts['seconds']:.0f}"]
        rows.append([name, outcome.state, *figures])
    console.print(table(f"scenes in {scenes}", ["scene", "", "frames", "passes", "loss", "seconds"], rows))
    if failed:
        raise UserError(f"{failed} of {len(groups)} scenes failed; the reasons are above")
    return not interrupted


def group_by_scene(root: Path) -> dict[str, list[str]]:
    """Sources by scene: a sub-folder is a scene, a file belongs to the scene before the first underscore of its name.

    Sub-folders named as in ShanghaiTech Campus (01_014) are clips of the scene before the underscore.

    Raises:
        UserError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}: --scenes-from takes one with a sub-folder or a name prefix per scene")
    groups: dict[str, list[str]] = {}
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        campus = CAMPUS_NAME.fullmatch(path.stem)
        if path.is_file() and path.suffix.lower() not in VIDEO_SUFFIXES:
            continue  # a note, a list of labels
        name = campus.group(1) if campus else path.name if path.is_dir() else path.stem.split("_")[0] or path.stem
        groups.setdefault(name, []).append(str(path))
    if not groups:
        raise UserError(f"nothing in {root}: --scenes-from takes a folder with a sub-folder or a name prefix per scene")
    return groups
