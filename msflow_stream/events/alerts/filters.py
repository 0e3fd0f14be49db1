"""The filters of alerts: which messages each is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from msflow_stream.config.alerts import AlertSettings
from msflow_stream.types import SEVERITIES, Event, EventMessage


def local_now() -> datetime:
    """Returns the time by the clock of the machine."""
    return datetime.now().astimezone()


class AlertFilter:
    """The filters of one alert. A receiver that got an event's beginning gets its end too.

    An event that the filters let through only later (it becomes severe, or the quiet hours are over) begins then.
    """

    def __init__(self, settings: AlertSettings, clock: Callable[[], datetime] = local_now) -> None:
        """Filters by these settings, and by a clock of local time."""
        self._settings, self._clock = settings, clock
        self._last: dict[str, tuple[str, datetime]] = {}  # the event of each camera that was begun last, and when

    def __call__(self, message: EventMessage, camera: str, followed: bool) -> EventMessage | None:
        """Returns the message as the receiver is to get it, None if it is not to.

        Args:
            message: the message.
            camera: the camera that it is about.
            followed: whether the receiver got the event's beginning.
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
        settings, now = self._settings, self._clock()
        return (
            SEVERITIES.index(event.severity) >= SEVERITIES.index(settings.severity)
            and (not settings.cameras or camera in settings.cameras)
            and (not settings.triggers or not set(settings.triggers).isdisjoint(event.triggers))
            and not any(span.covers(now.time()) for span in settings.quiet)
            and (settings.duration is None or (event.end is not None and event.end - event.start >= settings.duration))
            and not self._cools_down(event, camera, now)
        )

    def _cools_down(self, event: Event, camera: str, now: datetime) -> bool:
        """Returns whether another event of the camera was begun a short while ago."""
        if self._settings.cooldown is None or camera not in self._last:
            return False
        begun, when = self._last[camera]
        return begun != event.id and (now - when).total_seconds() < self._settings.cooldown
