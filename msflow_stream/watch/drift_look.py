"""A look at a camera's drift while it is watched, now and then, for the metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from msflow_stream.teaching.drift.drift import LOOKED_AT, Alarms, camera_drift

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=30)


class DriftLook:
    """What was found at the last look. It is called when the facts of a day were written, by the thread that does so.

    Args:
        camera: the folder of the camera.
        alarms: returns the camera's events since a moment, and their labels.

    Attributes:
        kinds: of drift that were found; None before the first look.
    """

    def __init__(self, camera: Path, alarms: Callable[[datetime], Alarms]) -> None:
        self._camera, self._alarms = camera, alarms
        self._looked: datetime | None = None
        self.kinds: frozenset[str] | None = None

    def __call__(self, scene: Path) -> None:
        """Looks again if the last look is long enough ago. What goes wrong is said, and nothing else comes of it."""
        now = datetime.now().astimezone()
        if self._looked is not None and now - self._looked < EVERY:
            return
        self._looked = now
        try:
            found = camera_drift(self._camera, scene, self._alarms(now - LOOKED_AT), now.date())
        except Exception as error:
            log.warning("%s: its drift cannot be told: %s", self._camera.name, error)
            return
        kinds = frozenset(one.kind for one in found.findings)
        for one in found.findings:
            if one.kind not in (self.kinds or ()):
                log.warning("%s: %s %s", self._camera.name, one.text, one.advice)
        self.kinds = kinds
