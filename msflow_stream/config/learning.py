"""The settings of a camera whose scene is learnt while it is watched."""

from __future__ import annotations

from pydantic import Field, field_validator

from msflow_stream.config.fields import Duration
from msflow_stream.config.loading import load
from msflow_stream.config.settings import Section
from msflow_stream.types import UserError

LEAST_CALIBRATION = 120.0  # seconds, where nobody says how long
SHARE = 1 / 3  # of the time of learning


class Learn(Section):
    """A scene that is learnt from its camera: footage is recorded, fitted, and what follows gives the thresholds.

    A scene of the name that is there already is watched with at once.
    """

    learn: Duration = Field(description="footage to learn from, such as 30m; it should show all that is usual")
    calibrate: Duration | None = Field(
        default=None,
        description="what follows the fit, for the thresholds; null: a third of `learn`, two minutes at least",
    )
    name: str | None = Field(default=None, min_length=1, description="name of the scene; null: the camera's")
    false_alarms_per_hour: float = Field(default=0.1, gt=0, le=1000, description="false alarms that are acceptable")
    settings: tuple[str, ...] = Field(
        default=(), description="settings of the fit, as `fit --set` takes them, such as fit.passes=4"
    )

    @field_validator("settings")
    @classmethod
    def _settings_that_there_are(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            load(None, value)
        except UserError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def calibrate_seconds(self) -> float:
        """The seconds of normal scores that the thresholds are made from."""
        return max(SHARE * self.learn, LEAST_CALIBRATION) if self.calibrate is None else self.calibrate
