"""Which messages an alert is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from msflow_stream.config.alerts import AlertSettings
from msflow_stream.types import SEVERITIES, Event, EventMessage


def local_now() -> datetime:
    """Now, by the clock of the machine."""
    return datetime.now().astimezone()


class AlertFilter:
    """Applies the filters of one alert. Who was told of an event's beginning is told of its end too.

    An event that the filters let through only later (it becomes severe, or the quiet hours are over) begins then.
    """

    def __init__(self, settings: AlertSettings, clock: Callable[[], datetime] = local_now) -> None:
        self._settings, self._clock = settings, clock
        self._last: dict[str, tuple[str, datetime]] = {}  # the event of each camera that was begun last, and when

    def __call__(self, message: EventMessage, camera: str, followed: bool) -> EventMessage | None:
        """The message as the receiver is to get it, None if it is not to.

        Args:
            followed: whether the receiver was told of the event's beginning.
        """
        kinds = self._settings.kinds
        if followed:
            return message if message.kind in kinds else None
        if "open" in kinds and not (message.kind == "close" and "close" in kinds):
            message = replace(message, kind="open")
        if message.kind not in kinds or not self._lets_through(message.event, camera):
            return None
        if self._last.get(camera, ("",))[0] != message.event.id:
            self._last[camera] = message.event.id, self._clock()
        return message

    def _lets_through(self, event: Event, camera: str) -> bool:
        wanted, now = self._settings, self._clock()
        return (
            SEVERITIES.index(event.severity) >= SEVERITIES.index(wanted.severity)
            and (not wanted.cameras or camera in wanted.cameras)
            and (not wanted.triggers or not set(wanted.triggers).isdisjoint(event.triggers))
            and not any(span.covers(now.time()) for span in wanted.quiet)
            and (wanted.duration is None or (event.end is not None and event.end - event.start >= wanted.duration))
            and not self._cools_down(event, camera, now)
        )

    def _cools_down(self, event: Event, camera: str, now: datetime) -> bool:
        """Whether another event of the camera was begun a short while ago."""
        if self._settings.cooldown is None or camera not in self._last:
            return False
        begun, when = self._last[camera]
        return begun != event.id and (now - when).total_seconds() < self._settings.cooldown
