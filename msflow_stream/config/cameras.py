"""The settings of cameras, with the defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import time
from random import Random
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from msflow_stream.config.alerts import Alert, AlertName
from msflow_stream.config.fields import ClockTime, Seconds
from msflow_stream.config.learning import Learn
from msflow_stream.config.settings import Section
from msflow_stream.config.teaching import Teaching

NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$"  # of a folder, on any system
FILE_SCHEME = "file://"
SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "file")
RESTREAM_SCHEMES = ("rtsp", "rtsps")
MOST_DOUBLINGS = 64  # of a wait; beyond, the ceiling has long been reached, and a float would overflow in the end
ADDRESS = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]}
Share = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Share, Share]  # x, y: shares of the picture
Polygon = Annotated[tuple[Point, ...], Field(min_length=3)]
SceneName = Annotated[str, Field(min_length=1)]
Decode = Literal["auto", "cpu", "cuda"]
NAMED, LEARNT = "its name", "learn"  # the two ways to say which scene; a mistake's place has them


def _way(scene: Any) -> str:
    return LEARNT if isinstance(scene, dict | Learn) else NAMED


AnyScene = Annotated[
    Annotated[SceneName, Tag(NAMED)] | Annotated[Learn, Tag(LEARNT)],
    Discriminator(_way),
]


def shown_key(key: str) -> str:
    """Returns a key as it may be shown: an address that was put in a name's place could hold credentials."""
    return "***" if "://" in key else key


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{shown_key(name)!r} is no name for a camera: letters, digits, dots, dashes and underscores")
    return name


def _checked_url(url: SecretStr, schemes: Sequence[str] = SCHEMES) -> SecretStr:
    scheme, separator, rest = url.get_secret_value().strip().partition("://")
    if not scheme or (separator and not rest):
        raise ValueError("is no address")
    if separator and scheme.lower() not in schemes:  # which is not said: it could be part of a secret
        raise ValueError(f"cannot be read; an address begins with {', '.join(f'{one}://' for one in schemes)}")
    return SecretStr(url.get_secret_value().strip())


def _checked_restream(url: SecretStr) -> SecretStr:
    if "://" not in url.get_secret_value():
        raise ValueError("is no address")
    return _checked_url(url, RESTREAM_SCHEMES)


def _webcam(url: Any) -> Any:
    return str(url) if isinstance(url, int) and not isinstance(url, bool) else url


Name = Annotated[str, AfterValidator(_checked_name)]


Address = Annotated[SecretStr, BeforeValidator(_webcam), AfterValidator(_checked_url), WithJsonSchema(ADDRESS)]


Restream = Annotated[SecretStr, AfterValidator(_checked_restream), WithJsonSchema({"type": "string"})]


class Shift(Section):
    """A time of day from which on another scene is what is normal."""

    start: ClockTime = Field(description="time of day, hours:minutes, by the clock of the machine")
    scene: SceneName = Field(description="name of the scene from then on")


class Backoff(Section):
    """The waits between attempts to connect: they double up to a ceiling, and each is cut short at random.

    So many cameras that were lost together do not all return at once. All times in seconds.
    """

    first: Seconds = Field(default=1.0, description="seconds before the first new attempt")
    ceiling: Seconds = Field(default=60.0, description="the most seconds between attempts")
    jitter: Share = Field(default=0.5, description="largest share by which a wait is cut short at random")
    settled: Seconds = Field(
        default=10.0, description="seconds a connection must have held for the waits to start anew"
    )

    @model_validator(mode="after")
    def _the_ceiling_is_above(self) -> Backoff:
        if self.first > self.ceiling:
            raise ValueError(f"first must be at most the ceiling, not {self.first:g} and {self.ceiling:g}")
        return self

    def delay(self, failures: int, random: Random, slow: bool = False) -> float:
        """Returns the seconds to wait after so many failures in a row (1 and up).

        Args:
            failures: the failures so far, since something last succeeded.
            random: draws by how much the wait is cut short.
            slow: waits as after very many failures: accounts are locked out after a few wrong passwords.
        """
        full = self.ceiling if slow else min(self.ceiling, self.first * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
        return full * (1 - self.jitter * random.random())


class CameraSettings(Section):
    """Settings that can be given once for all cameras, under `defaults`, or for one."""

    every: int = Field(default=5, ge=1, description="every so many frames of the camera one is scored")
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="how RTSP sends pictures")
    decode: Decode = Field(
        default="auto",
        description="decoder: the graphics card (cuda), the processor (cpu), or the card that scenes are on (auto)",
    )
    open_timeout: Seconds = Field(default=10.0, description="seconds without an answer until an attempt is given up")
    read_timeout: Seconds = Field(default=10.0, description="seconds without data until a connection is given up")
    stalled_after: Seconds = Field(
        default=3.0, description="seconds without a picture until the camera counts as stalled"
    )
    frozen_after: Seconds | None = Field(
        default=30.0, description="seconds of identical pictures until they count as frozen; null: not looked for"
    )
    black_after: Seconds | None = Field(
        default=10.0, description="seconds without texture until the picture counts as black; null: not looked for"
    )
    attempts: int | None = Field(
        default=None, ge=1, description="failed attempts in a row until the camera is given up; null: never"
    )
    backoff: Backoff = Field(default=Backoff(), description="the waits between attempts to connect")
    skip_static: bool = Field(
        default=False, description="frames that show nothing new but noise take the score of the last scored one"
    )
    watch: tuple[Polygon, ...] = Field(
        default=(),
        description="areas that count, each a polygon of [x, y] as shares of the picture; all of it if empty",
    )
    ignore: tuple[Polygon, ...] = Field(default=(), description="areas that do not count, likewise")
    privacy: tuple[Polygon, ...] = Field(
        default=(),
        description="areas, likewise, that are black in every recording, clip, image and stream that is made; they are "
        "scored like all others (ignore them too if they should not count), and places of events are written as they "
        "are. Clips then show the scored frames only, coded anew. What was recorded before stays as it is",
    )
    alerts: tuple[AlertName, ...] | None = Field(
        default=None, description="names of the alerts that its events go to; null: all that there are"
    )


class Camera(CameraSettings):
    """One camera. The addresses never show in logs or errors."""

    url: Address = Field(
        description="rtsp, rtsps, http, https (HLS too), rtmp, udp, tcp or srt address, video file or folder of images "
        "(relative to this file), or a webcam's number"
    )
    scene: AnyScene | None = Field(
        default=None, description="name of its scene, or for how long to learn one; or give a schedule"
    )
    schedule: tuple[Shift, ...] = Field(
        default=(), description="scenes by time of day, each from its start until the next one's, around the clock"
    )
    restream: Restream | None = Field(default=None, description="rtsp address of a server that is sent the overlay")

    @model_validator(mode="after")
    def _one_scene_at_a_time(self) -> Camera:
        if (self.scene is None) == (not self.schedule):
            raise ValueError("give either scene or schedule")
        starts = [shift.start for shift in self.schedule]
        if starts != sorted(set(starts)):
            raise ValueError("the starts of a schedule must ascend")
        return self

    @property
    def scenes(self) -> tuple[str, ...]:
        """All scenes that the camera ever needs."""
        if self.scene is not None:
            return (self.scene_name,)
        return tuple(dict.fromkeys(shift.scene for shift in self.schedule))

    @property
    def scene_name(self) -> str:
        """The name of its scene, where it has no schedule."""
        return (self.scene.name or "") if isinstance(self.scene, Learn) else self.scene or ""

    @property
    def learn(self) -> Learn | None:
        """The way that its scene is learnt; None where it names scenes that there are."""
        return self.scene if isinstance(self.scene, Learn) else None

    def scene_at(self, now: time) -> str:
        """Returns the scene at a time of day."""
        if self.scene is not None:
            return self.scene_name
        begun = [shift for shift in self.schedule if shift.start <= now]
        return (begun or self.schedule)[-1].scene  # before the first start, the last one's goes on over midnight


class Cameras(Section):
    """A whole file: `defaults` that every camera inherits, and the cameras by name."""

    defaults: CameraSettings = Field(
        default=CameraSettings(), description="what every camera inherits unless it says otherwise"
    )
    cameras: dict[Name, Camera] = Field(
        description="the cameras by name; each gets a folder of its name",
        json_schema_extra={"propertyNames": {"pattern": NAME}},
    )
    alerts: dict[AlertName, Alert] = Field(default={}, description="where events are told, by name")
    teaching: Teaching = Field(default=Teaching(), description="what becomes of labelled events")
    store: SecretStr | None = Field(
        default=None,
        description="database of events, sqlite:/// or postgresql://; null: events.db in the output folder",
    )

    @field_validator("cameras")
    @classmethod
    def _scenes_to_learn_have_names(cls, cameras: dict[str, Camera]) -> dict[str, Camera]:
        named = {name: _named(name, camera) for name, camera in cameras.items()}
        learners: dict[str, str] = {}
        for name, camera in named.items():
            if camera.learn is not None and learners.setdefault(camera.scene_name, name) != name:
                raise ValueError(
                    f"{learners[camera.scene_name]} and {name} would both learn the scene {camera.scene_name}: "
                    "give one of them a `name` of its own"
                )
        return named


def _named(name: str, camera: Camera) -> Camera:
    """Returns the camera with a name for the scene that it learns: its own, unless it has another."""
    if camera.learn is None or camera.learn.name is not None:
        return camera
    return camera.model_copy(update={"scene": camera.learn.model_copy(update={"name": name})})
