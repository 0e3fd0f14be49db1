"""How far the learning of a camera's scene is, as its files and the watch say it: files say it after any end, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msflow_stream.config.cameras import Camera
from msflow_stream.config.learning import Learn
from msflow_stream.results.wording import every, support_wording
from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scenes.folder import read_record, scene_folder
from msflow_stream.scenes.footage_facts import FootageFacts
from msflow_stream.teaching.layout import FOOTAGE, learn_folder
from msflow_stream.teaching.learning import PHASES, LearningRecord, phase_of
from msflow_stream.teaching.progress import Progress
from msflow_stream.types import UserError
from msflow_stream.video.coverage import Coverage
from msflow_stream.video.packets.footage import Footage

MOST_GAPS = 20

Values = dict[str, Any]


def learning_values(camera: Camera | None, scenes: Path, now: Mapping[str, Any], watch: str) -> Values:
    """Returns how far the scene is.

    Args:
        camera: as the cameras file has it; None where that cannot be read now.
        scenes: the folder of the scenes.
        now: the camera as the watch reports it, with its phase; without one the files tell.
        watch: running, away or unknown.
    """
    scene = camera.scenes[0] if camera is not None and camera.scenes else now.get("scene")
    folder = scene_folder(scenes, scene) if scene else None
    learn = None if camera is None else camera.learn
    progress = None if folder is None else Progress.read(learn_folder(folder))
    footage = None if folder is None else Footage.read(learn_folder(folder) / FOOTAGE)
    phase = now.get("phase") or _phase(folder, learn)
    done, of = now.get("phase_done"), now.get("phase_of")
    if phase == "fitting":  # of which the files tell
        done, of = (None, None) if progress is None else (progress.done, progress.of or None)
    elif phase == "learning" and done is None:
        done, of = (0.0 if footage is None else footage.seconds), (None if learn is None else learn.learn)
    return {
        "camera": now["name"],
        "scene": scene,
        "watch": watch,
        "phase": phase,
        "at": _at(phase, folder),
        "done": done,
        "of": of,
        "learn": None if learn is None else learn.learn,
        "calibrate": None if learn is None else learn.calibrate_seconds,
        "rate": None if learn is None else every(learn.false_alarms_per_hour),
        "progress": _progress(progress),
        "reason": _reason(phase, folder, now, progress),
        "footage": _footage(footage),
        "coverage": _coverage(folder, footage),
        "support": None if folder is None else support(folder),
        "can_go_back": learn is not None and folder is not None and not folder.exists(),
    }


def support(folder: Path) -> str | None:
    """Returns what the normal footage supports, in a sentence; None before the scene is calibrated."""
    try:
        record = read_record(folder)
    except UserError:
        return None
    basis = (record.get("calibration") or {}).get("basis") or {}
    if not basis.get("asked"):
        return None
    said = support_wording(basis["asked"], basis.get("hours") or 0.0)
    return said.replace(" (--normal)", "").replace("That is", "The normal footage is", 1)  # as it stands alone here


def _phase(folder: Path | None, learn: Learn | None) -> str | None:
    """Returns the phase as the files have it; None where there is no scene, and none is to be learnt."""
    if folder is None or (learn is None and not scene_exists(folder)):
        return None
    return phase_of(folder)


def _at(phase: str | None, folder: Path | None) -> str:
    """Returns the phase that is gone through now; of a failure, the one that failed."""
    if phase in PHASES and phase != "failed":
        return phase
    if folder is None or phase is None:
        return "learning"
    return "calibrating" if scene_exists(folder) else "fitting"


def _reason(phase: str | None, folder: Path | None, now: Mapping[str, Any], progress: Progress | None) -> str:
    """Returns what holds the phase up, or why it failed."""
    said = str(now.get("phase_text") or "")
    if phase != "failed" or said:
        return said
    record = None if folder is None else LearningRecord.read(folder)
    if record is not None and record.reason:
        return record.reason
    return progress.text if progress is not None and progress.stage == "failed" else "the log says why"


def _progress(progress: Progress | None) -> Values | None:
    if progress is None:
        return None
    keys = ("stage", "done", "of", "unit", "text", "at")
    return {key: getattr(progress, key) for key in keys}


def _footage(footage: Footage | None) -> Values | None:
    if footage is None:
        return None
    gaps = [
        {"start": one.start.isoformat(), "seconds": round(one.seconds, 1), "cause": one.cause} for one in footage.gaps
    ]
    return {
        "seconds": round(footage.seconds, 1),
        "bytes": sum(one.bytes for one in footage.segments),
        "gaps": gaps[-MOST_GAPS:],
        "gaps_seconds": round(sum(one.seconds for one in footage.gaps), 1),
    }


def _coverage(folder: Path | None, footage: Footage | None) -> Values | None:
    """Returns what the footage covers and lacks: that of the learning, or later that of the scene."""
    found: Coverage | None = None if footage is None else footage.coverage
    if folder is not None and (found is None or not found.seconds):
        facts = FootageFacts.read(folder)
        found = found if facts is None else facts.coverage
    return None if found is None else {**found.to_json(), "moving": found.moving, "missing": found.missing()}
