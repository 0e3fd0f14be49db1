"""Finds violations in fixed-camera video with one MSFlow model per scene.

Example::

    import msflow_stream as ms

    scene = ms.fit("normal.mp4")
    for score in ms.score("today.mp4", scene):
        print(score.time, score.combined)

The names of `__all__` are the package's public ones. They are imported when they are first used, since torch takes
seconds. With the first, threads are set up to share the machine's cores with others (`cores.share_cores`), unless torch
is there already.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from msflow_stream.cores import share_cores

if TYPE_CHECKING:
    from msflow_stream.scenes.scene import Scene
    from msflow_stream.scenes.training import fit_scene
    from msflow_stream.scoring.scorer import Scorer
    from msflow_stream.types import Earlier, Event, Frame, FrameScore, Motion, UserError, Why
    from msflow_stream.video.motion import grey
    from msflow_stream.video.reading.video_reader import VideoReader
    from pipelines.api import Scores, fit, load, score

__version__ = "0.1.0"

__all__ = [
    "Earlier",
    "Event",
    "Frame",
    "FrameScore",
    "Motion",
    "Scene",
    "Scorer",
    "Scores",
    "UserError",
    "VideoReader",
    "Why",
    "fit",
    "fit_scene",
    "grey",
    "load",
    "score",
]

_HOMES = {
    "Scene": "scenes.scene",
    "Scorer": "scoring.scorer",
    "VideoReader": "video.reading.video_reader",
    "fit_scene": "scenes.training",
    "grey": "video.motion",
    **dict.fromkeys(("Earlier", "Event", "Frame", "FrameScore", "Motion", "UserError", "Why"), "types"),
    **dict.fromkeys(("Scores", "fit", "load", "score"), "pipelines.api"),
}


def __getattr__(name: str) -> Any:
    """Returns a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "torch" not in sys.modules:
        share_cores()
    return getattr(import_module(_module(_HOMES[name])), name)


def __dir__() -> list[str]:
    """The public names, for those who complete as they type."""
    return [*__all__, "__version__"]


def _module(home: str) -> str:
    """Returns a module's full name: in a checkout the jobs are beside the package, in a wheel in it."""
    inside = f"{__name__}.{home}"
    return home if home.startswith("pipelines.") and find_spec(f"{__name__}.pipelines") is None else inside
