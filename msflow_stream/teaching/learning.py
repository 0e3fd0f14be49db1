"""The first learning of a scene, as the files beside it tell it: which phase it is in, and with which settings.

A camera that learns is recorded (learning), its footage is fitted (fitting), what follows gives the thresholds
(calibrating), and then it is watched. Whoever changes the phase writes it down, after what the phase rests on: at any
moment the files say how to go on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, get_args

from msflow_stream.config.cameras import Camera
from msflow_stream.files import make_folder, write_json
from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scenes.folder import read_record
from msflow_stream.teaching.layout import learn_folder
from msflow_stream.types import UserError
from msflow_stream.video.privacy import Polygons, PrivacyAreas

FILE, ASKED = "learn.json", "asked.json"
Phase = Literal["learning", "fitting", "calibrating", "watching", "failed"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRecord:
    """The record of a scene's learning.

    Attributes:
        phase: as it was written last; `phase_of` knows better.
        camera: name of the camera.
        learn, calibrate: seconds of footage, and of normal scores.
        rate: false alarms per hour that the thresholds are for.
        every: every so many frames of the camera one is scored.
        settings: of the fit, as `fit --set` takes them.
        privacy: the camera's privacy areas.
        reason: why it failed.
        at: when it was written, as ISO 8601.
    """

    phase: Phase
    camera: str
    learn: float
    calibrate: float
    rate: float
    every: int
    settings: tuple[str, ...] = ()
    privacy: Polygons = ()
    reason: str = ""
    at: str = ""

    @classmethod
    def of(cls, name: str, camera: Camera, phase: Phase = "learning") -> Self:
        """Returns the record of a camera that is to learn its scene."""
        learn = camera.learn
        assert learn is not None
        return cls(
            phase=phase,
            camera=name,
            learn=learn.learn,
            calibrate=learn.calibrate_seconds,
            rate=learn.false_alarms_per_hour,
            every=camera.every,
            settings=learn.settings,
            privacy=camera.privacy,
        )

    def moved(self, phase: Phase, reason: str = "") -> Self:
        """Returns the same in another phase."""
        return replace(self, phase=phase, reason=reason)

    @property
    def hidden(self) -> PrivacyAreas | None:
        """What is black in all that shows the camera; None: nothing."""
        return PrivacyAreas(self.privacy) if self.privacy else None

    @property
    def fit(self) -> tuple[tuple[str, ...], int]:
        """What the fit depends on, apart from the footage."""
        return self.settings, self.every

    def write(self, scene: Path) -> None:
        """Writes it beside the scene whose folder that is, with the time of now."""
        make_folder(learn_folder(scene))
        write_json(learn_folder(scene) / FILE, {**asdict(self), "at": datetime.now(UTC).isoformat(timespec="seconds")})

    @classmethod
    def read(cls, scene: Path) -> Self | None:
        """Returns that of a scene; None where there is none that can be read."""
        try:
            values = json.loads((learn_folder(scene) / FILE).read_text(encoding="utf-8"))
            found = cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})
            privacy = tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in found.privacy)
            return replace(found, settings=tuple(found.settings), privacy=privacy) if found.phase in PHASES else None
        except (OSError, ValueError, TypeError, KeyError):
            return None


def note_who_asks(scene: Path, by: str) -> None:
    """Writes down who has a scene learnt.

    Raises:
        OSError, UserError: it cannot be written.
    """
    make_folder(learn_folder(scene))
    write_json(learn_folder(scene) / ASKED, {"by": by})


def who_asked(scene: Path) -> str:
    """Returns who has a scene learnt; "" where that is not known, as of a cameras file that was written by hand."""
    try:
        return str(json.loads((learn_folder(scene) / ASKED).read_text(encoding="utf-8"))["by"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def phase_of(scene: Path) -> Phase:
    """Returns the phase that a scene is in; one that is there and was not learnt here is to be watched with."""
    record = LearningRecord.read(scene)
    if not scene_exists(scene):
        return record.phase if record is not None and record.phase in ("fitting", "failed") else "learning"
    if record is None or record.phase == "watching" or is_calibrated(scene):
        return "watching"
    return "calibrating"


def is_calibrated(scene: Path) -> bool:
    """Returns whether a scene's thresholds are for a number of false alarms."""
    try:
        calibration = read_record(scene)["calibration"]
    except UserError:
        return False
    return bool(calibration and calibration.get("basis"))
