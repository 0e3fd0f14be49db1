"""Says what does not work without saying it over and over."""

from __future__ import annotations

import logging


class Trouble:
    """Warns once of each reason, however often it comes, and says once that it is over."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._reason: str | None = None

    def begin(self, reason: str, message: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self._logger.warning("%s", message)

    def end(self, message: str) -> None:
        if self._reason is not None:
            self._reason = None
            self._logger.info("%s", message)
