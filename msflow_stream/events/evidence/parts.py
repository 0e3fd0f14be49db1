"""What is said in event.json of the files of a clip."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a clip.

    Attributes:
        file: its name in the event's folder.
        start, end: of its first and last picture, in seconds from the source's start.
        copied: it holds the source's own packets; else scored frames, coded anew.
    """

    file: str
    start: float
    end: float
    copied: bool
