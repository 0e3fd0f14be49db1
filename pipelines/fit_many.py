"""`fit --scenes-from`: a folder with footage of many cameras becomes a scene for each."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from msflow_stream.config.settings import Settings
from msflow_stream.machine import choose_device
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from msflow_stream.video.sources import group_by_scene
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
