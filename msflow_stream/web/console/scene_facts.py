"""What pages say of a scene's teaching: what was taught, how far a fit is, and who may change what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from msflow_stream.events.store import StoredEvent
from msflow_stream.scenes.folder import RECORD, list_scenes, read_record, scene_folder
from msflow_stream.teaching.layout import learn_folder, taught_folder, teach_folder, wanted_file
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.taught import Taught, TaughtEvent
from msflow_stream.teaching.version_history import Version
from msflow_stream.teaching.versions import Versions
from msflow_stream.types import UserError
from msflow_stream.watch.reporting.summary import promised_rate
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console

DONE = ("done", "failed")  # stages of a job that does not go on
STAGES = {"waiting": "waits for its turn", "paused": "pauses, as the watch needs the machine", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class SceneUse:
    """A scene as a person knows it.

    Attributes:
        seen: the cameras that are compared with it and that the person may see.
        is_whole: they may see all that there are.
    """

    name: str
    folder: Path
    seen: tuple[str, ...]
    is_whole: bool


def scenes_of(console: Console, request: Request) -> list[SceneUse]:
    """Returns the scenes that a person may know: those of their cameras; of nobody's cameras, who sees all."""
    user, cameras = console.user(request), cameras_by_scene(console)
    found = []
    for name in list_scenes(console.scenes):
        used = cameras.get(name, ())
        seen = tuple(camera for camera in used if user.sees(camera))
        if seen or (user.cameras is None and not used):
            found.append(SceneUse(name, scene_folder(console.scenes, name), seen, user.cameras is None or seen == used))
    return found


def scene_of(console: Console, request: Request) -> SceneUse:
    """Returns the scene whose name is in a request's path.

    Raises:
        HTTPException: 404, there is none that this person may know.
    """
    for one in scenes_of(console, request):
        if one.name == request.path_params["name"]:
            return one
    raise HTTPException(404, "there is no such scene")


def scene_to_change(console: Console, request: Request) -> SceneUse:
    """Returns the scene for somebody who may see every camera that is compared with it.

    Raises:
        HTTPException: 404, there is none; 403, another camera has it too, which they may not see.
    """
    found = scene_of(console, request)
    if not found.is_whole:
        raise HTTPException(403, "other cameras that you may not see have this scene too; ask somebody who sees them")
    return found


def cameras_by_scene(console: Console) -> Mapping[str, tuple[str, ...]]:
    """Returns the cameras that are compared with each scene, or whose events were taught to it."""
    try:
        settings = console.camera_settings()
    except UserError:  # a cameras file that somebody is editing
        settings = None
    found: dict[str, dict[str, None]] = {}
    for camera, one in () if settings is None else settings.cameras.items():
        for scene in one.scenes:
            found.setdefault(scene, {})[camera] = None
    for name in list_scenes(console.scenes):
        for source in taught_sources(scene_folder(console.scenes, name)):
            found.setdefault(name, {})[source] = None
    return {scene: tuple(cameras) for scene, cameras in found.items()}


def taught_sources(scene: Path) -> tuple[str, ...]:
    """Returns the cameras whose events were taught to a scene; cheap where no event came or went since."""
    folder = taught_folder(scene)
    try:
        return _sources(scene, folder.stat().st_mtime_ns)
    except OSError:
        return ()


@lru_cache(256)
def _sources(scene: Path, changed: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event.source for event in Taught(scene).entries))


def may_change(console: Console, request: Request, scene: SceneUse) -> bool:
    """Returns whether a person may promote, roll back, discard and teach."""
    return scene.is_whole and console.user(request).role.covers(Role.OPERATOR)


def progress_of(scene: Path) -> dict[str, Any] | None:
    """Returns how far the fit of a candidate is, as pages show it; None where nothing is done."""
    now = Progress.read(teach_folder(scene)) or Progress.read(learn_folder(scene))
    wanted = wanted_file(scene).exists()
    if now is None or now.stage == "done":
        asked = "A candidate is asked for; it is fitted as soon as a watch runs."
        return {"text": asked, "share": None} if wanted else None
    share = min(now.done / now.of, 1.0) if now.of else None
    count = f": {now.done:g} of {now.of:g} {now.unit}" if now.of else ""
    words = f"The fit {STAGES[now.stage]}" if now.stage in STAGES else now.stage.capitalize()
    said = f". {now.text}" if now.text else ""
    if wanted:  # those that are begun have another file
        said += ". It is asked for again" if now.stage == "failed" else ". Another one is asked for, and follows"
    return {"text": f"{words}{count}{said}", "share": share, "failed": now.stage == "failed", "at": now.at}


def promise_of(scene: Path) -> float | None:
    """Returns the false alarms an hour that a scene promises; None where that is not known."""
    try:
        return promised_rate(read_record(scene))
    except UserError:
        return None


def became_of(console: Console, stored: StoredEvent) -> str | None:
    """Returns what became of an event's label, in a sentence; None where it teaches nothing."""
    if stored.label not in ("normal", "violation"):
        return None
    try:
        folder = scene_folder(console.scenes, stored.event.scene)
        if not (folder / RECORD).exists():
            return None
        versions = Versions(folder).entries
    except UserError:
        return None
    kept = Taught(folder).read(stored.event.id)
    return became(stored.event.id, stored.label, versions, kept)


def became(id: str, label: str, versions: tuple[Version, ...], kept: TaughtEvent | None) -> str:
    """Returns the same, of the versions and of what is kept."""
    by_state: dict[str, Version] = {one.state: one for one in versions}
    names = {"live": "the scene as it is watched with", "candidate": "the candidate"}
    for state, what in names.items():
        version = by_state.get(state)
        if version is None:
            continue
        when = f"{what}, version {version.number} of {version.made.astimezone():%d %b %Y}"
        if label == "normal" and id in version.taught:
            return f"Taught: {when}, has learnt it."
        tried = next(
            (one for one in (version.comparison or {}).get("violations") or () if one.get("event") == id), None
        )
        if label == "violation" and tried is not None:
            alarms = (tried.get("candidate") or {}).get("alarms")
            return f"Tried: {when}, {'finds it' if alarms else 'does not find it'}."
    if kept is None:
        return "The scene takes this label up within a minute or so while a watch runs."
    if kept.obstacle is not None:
        return f"Not taught: {kept.obstacle}."
    if label == "violation":
        return "Kept: each new candidate is tried on it, and refused if it misses it."
    return "Kept: the next candidate learns it."
