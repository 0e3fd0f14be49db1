"""The shadow of a scene: what its candidate says beside it of the same live frames, as it is kept on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from msflow_stream.files import write_json
from msflow_stream.scenes.exchange import scene_identity
from msflow_stream.teaching.layout import candidate_folder, shadow_file, teach_folder

KEPT = 24  # moments in which they differ


@dataclass(frozen=True, slots=True)
class Compared:
    """The counts of one camera.

    Attributes:
        frames: those that both scored.
        seconds: the time that those stand for.
        live, candidate: alarms of each, by the same frames.
        only_live, only_candidate: frames in which the score of one alone was above its threshold.
    """

    frames: int = 0
    seconds: float = 0.0
    live: int = 0
    candidate: int = 0
    only_live: int = 0
    only_candidate: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment in which the two differed.

    Attributes:
        at: when.
        live, candidate: their smoothed scores, in units of their thresholds.
        jpeg: name of a small image of it in the folder `shadow`; None where there is none.
    """

    camera: str
    at: datetime
    live: float
    candidate: float
    jpeg: str | None = None


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a candidate said beside the live scene so far.

    Attributes:
        candidate: tells the candidate from others.
        since, updated: when it began, and when it was written last.
        cameras: the counts by camera.
        moments: the newest ones in which they differed, the oldest first.
    """

    candidate: str
    since: datetime
    updated: datetime
    cameras: Mapping[str, Compared] = field(default_factory=dict)
    moments: Sequence[Moment] = ()

    @classmethod
    def begin(cls, candidate: str, now: datetime | None = None) -> Shadow:
        """Returns one in which nothing was compared yet."""
        now = now or datetime.now(UTC)
        return cls(candidate, now, now)

    @classmethod
    def read(cls, scene: Path) -> Shadow | None:
        """Returns the one of a scene's candidate of now; None where nothing was compared with it yet."""
        try:
            found: Shadow = _STORED.validate_python(json.loads(shadow_file(scene).read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            return None
        return found if found.candidate == candidate_identity(scene) else None

    def write(self, scene: Path) -> None:
        """Writes it in one step, if the scene's candidate is still the same; removes images of nothing."""
        if candidate_identity(scene) != self.candidate:
            return
        write_json(shadow_file(scene), _STORED.dump_python(replace(self, updated=datetime.now(UTC)), mode="json"))
        kept = {moment.jpeg for moment in self.moments}
        for path in shadow_folder(scene).glob("*.jpg"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    @property
    def frames(self) -> int:
        """The frames that both scored."""
        return sum(one.frames for one in self.cameras.values())

    @property
    def seconds(self) -> float:
        """The time that was compared, at the camera where it is longest."""
        return max((one.seconds for one in self.cameras.values()), default=0.0)

    @property
    def alarms(self) -> tuple[int, int]:
        """The alarms of the live scene, and of the candidate."""
        cameras = self.cameras.values()
        return sum(one.live for one in cameras), sum(one.candidate for one in cameras)

    def with_camera(self, name: str, counts: Compared, moment: Moment | None = None) -> Shadow:
        """Returns it with other counts of a camera, and a moment more."""
        moments = self.moments if moment is None else (*self.moments, moment)[-KEPT:]
        return replace(self, cameras={**self.cameras, name: counts}, moments=moments)

    def allows(self, seconds: float) -> bool:
        """Returns whether the candidate was beside the live scene for so long, and raised no more alarms than it."""
        live, candidate = self.alarms
        return self.seconds >= seconds and candidate <= live


_STORED = TypeAdapter(Shadow)


def shadow_folder(scene: Path) -> Path:
    """Returns the folder of the small images of moments."""
    return teach_folder(scene) / "shadow"


def candidate_identity(scene: Path) -> str | None:
    """Returns what tells a scene's candidate from others; None where there is none."""
    return scene_identity(candidate_folder(scene))
