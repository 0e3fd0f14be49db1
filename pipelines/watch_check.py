"""`watch --check`: opens every camera once and loads every scene, and says what is wrong before a night is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from msflow_stream.config.cameras import Camera
from msflow_stream.config.cameras_file import load_cameras
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import UserError
from msflow_stream.video.live_options import LiveOptions
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.probe import Probe, probe
from pipelines.terminal.progress import table

AT_ONCE = 16  # cameras that are opened at the same time


def check(file: Path, scenes: Path, console: Console | None = None) -> None:
    """Prints a line for every camera.

    Raises:
        UserError: the file, a scene or a camera cannot be used.
    """
    console = console or Console()
    cameras = load_cameras(file)
    missing = {name: wrong for name, camera in cameras.items() if (wrong := _scene_trouble(camera, scenes))}
    with console.status("opening the cameras"), ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(cameras, pool.map(_probed, cameras.items()), strict=True))
    rows = [_row(name, camera, found[name], missing.get(name)) for name, camera in cameras.items()]
    console.print(table(f"{file}", ["camera", "scene", "picture", "codec", "first picture", "result"], rows))
    failed = [name for name in cameras if name in missing or isinstance(found[name], UserError)]
    if failed:
        raise UserError(f"{len(failed)} of {len(cameras)} cameras cannot be watched: {', '.join(failed)}")


def _probed(item: tuple[str, Camera]) -> Probe | UserError:
    name, camera = item
    try:
        return probe(camera.url.get_secret_value(), name, LiveOptions.of(camera))
    except UserError as error:
        return error


def _scene_trouble(camera: Camera, scenes: Path) -> str | None:
    try:
        for name in camera.scenes:
            scene = Scene.load(scene_folder(scenes, name))
            area_mask(camera.watch, camera.ignore, scene.settings.input.size)
    except UserError as error:
        return str(error)
    return None


def _row(name: str, camera: Camera, found: Probe | UserError, missing: str | None) -> list[str]:
    trouble = "; ".join(str(one) for one in (missing, found) if isinstance(one, str | UserError))
    result = f"[red]{escape(trouble)}[/]" if trouble else "[green]good[/]"
    scene = ", ".join(camera.scenes)
    if isinstance(found, UserError):
        return [name, scene, "–", "–", "–", result]
    facts = f"{found.width} x {found.height}, {float(found.rate):.3g}/s"
    return [name, scene, facts, f"{found.codec} ({found.decoder})", f"{found.seconds:.1f} s", result]
