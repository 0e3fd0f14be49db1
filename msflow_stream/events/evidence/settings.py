"""The settings of evidence: how much is kept of an event."""

from __future__ import annotations

from dataclasses import dataclass

LATE = 10.0  # seconds that an event may be known after it began


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """The amount that is kept of an event; times in seconds.

    Attributes:
        pre_roll, post_roll: what a clip shows before the event's start and behind its end.
        max_seconds: a clip ends there, even if the event goes on.
        recent_bytes: memory for the scored frames of the last seconds.
        retry_seconds: from a failure of the disk to the next attempt.
        rate_hint: about how many scored frames a second come.
    """

    pre_roll: float = 5.0
    post_roll: float = 5.0
    max_seconds: float = 120.0
    recent_bytes: int = 32 * 2**20
    retry_seconds: float = 10.0
    rate_hint: float = 5.0

    @property
    def memory_seconds(self) -> float:
        """Seconds that packets and frames are kept: `PacketRing` and `FilePackets` are made with it."""
        return self.pre_roll + LATE
