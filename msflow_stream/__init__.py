"""Finds violations in fixed-camera video with one MSFlow model per scene.

The names below are what a program needs to fit and to score; they are imported when they are first used, since torch
takes seconds. With the first, threads are set up to share the machine's cores with others (`cores.share_cores`), unless
torch is there already.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from msflow_stream.cores import share_cores

if TYPE_CHECKING:
    from msflow_stream.scenes.scene import Scene
    from msflow_stream.scenes.training import fit_scene
    from msflow_stream.scoring.scorer import Scorer
    from msflow_stream.types import Earlier, Event, Frame, FrameScore, Motion, UserError, Why
    from msflow_stream.video.motion import grey
    from msflow_stream.video.reading.video_reader import VideoReader

__version__ = "0.1.0"

__all__ = [
    "Earlier",
    "Event",
    "Frame",
    "FrameScore",
    "Motion",
    "Scene",
    "Scorer",
    "UserError",
    "VideoReader",
    "Why",
    "fit_scene",
    "grey",
]

_HOMES = {
    "Scene": "scenes.scene",
    "Scorer": "scoring.scorer",
    "VideoReader": "video.reading.video_reader",
    "fit_scene": "scenes.training",
    "grey": "video.motion",
    **dict.fromkeys(("Earlier", "Event", "Frame", "FrameScore", "Motion", "UserError", "Why"), "types"),
}


def __getattr__(name: str) -> Any:
    """Returns a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "torch" not in sys.modules:
        share_cores()
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
