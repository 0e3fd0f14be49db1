"""What is labelled for a scene: the events that a fit can learn from or be compared on, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msflow_stream.teaching.fitting.taught_frames import unreadable_clip
from msflow_stream.teaching.taught import Taught, TaughtEvent
from msflow_stream.types import UserError

NOUNS = {"normal": "normal", "violation": "a violation"}
UNREAD = "{}, labelled {}, is left out: its {} cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is labelled.

    Attributes:
        events: those with clips that can be read.
        violations: all of them.
        left_out: a sentence about each event that has clips, one of which cannot be read.
    """

    events: list[TaughtEvent]
    violations: list[TaughtEvent]
    left_out: list[str]

    @property
    def normals(self) -> list[TaughtEvent]:
        """Those events that are labelled normal."""
        return [event for event in self.events if event.label == "normal"]


def labels_of(scene: Path) -> Labels:
    """Returns what is labelled for a scene, given its folder.

    Raises:
        UserError: nothing is labelled normal that a fit can learn from.
    """
    known = Taught(scene).entries
    clips = [(event, unreadable_clip(event)) for event in known if event.obstacle is None and event.clips]
    labels = Labels(
        events=[event for event, clip in clips if clip is None],
        violations=[event for event in known if event.label == "violation"],
        left_out=[UNREAD.format(event.id, NOUNS[event.label], clip) for event, clip in clips if clip is not None],
    )
    if not labels.normals:
        why = "".join(f"; {line}" for line in labels.left_out)
        raise UserError(f"nothing that scene {scene.name} can learn from is labelled normal{why}")
    return labels
