"""The settings of what becomes of labels: when a candidate is fitted, and how it becomes the scene that is watched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from msflow_stream.config.fields import Duration
from msflow_stream.config.settings import Section

GIB = 2**30


class Teaching(Section):
    """How labelled events teach the scenes, under `teaching` for all cameras of a file."""

    fit: Literal["auto", "by hand"] = Field(
        default="auto",
        description="whether a candidate is fitted as soon as events were labelled normal (auto), or on demand only",
    )
    wait: Duration = Field(
        default=600.0, description="time that no event was labelled until a candidate is fitted, such as 10m"
    )
    shadow: Duration = Field(
        default=3600.0, description="time that a candidate is scored beside the live scene before a rule may promote it"
    )
    promote: Literal["by hand", "auto"] = Field(
        default="by hand",
        description="auto: a candidate that raised no more alarms than the live scene in the time of `shadow` is "
        "promoted",
    )
    most_bytes: int = Field(
        default=2 * GIB, ge=2**20, description="bytes of labelled events that are kept for each scene"
    )
