"""The points of the check, each a module with `check(at)`, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the check.

    Attributes:
        name: of its module.
        claim: what it is about.
        seconds, cpu_seconds: that it may take on a GPU, and without one.
    """

    name: str
    claim: str
    seconds: float
    cpu_seconds: float


POINTS = (
    Point("machine", "versions, the decoder's library, bandwidth, peaks by precision", 25, 30),
    Point("precision", "scores of each precision beside those of float64 on the CPU", 75, 90),
    Point("replay", "recorded graphs give what the same steps give one by one", 60, 60),
    Point("preparation", "frames prepared on the device are those that the CPU prepares", 25, 30),
    Point("threads", "captures at a time, reloads and evictions while others score", 85, 60),
    Point("robustness", "areas, mixed scenes, waiting flows, no memory left", 40, 60),
    Point("fit", "a fit in every precision, and one that was interrupted", 55, 60),
    Point("speed", "the bench: plain and every engine, transfers, kernels", 65, 40),
    Point("decoding", "NVDEC gives the frames that the CPU decodes", 20, 20),
    Point("pytest", "the tests that need a GPU", 120, 40),
)
TOTAL = 450.0  # seconds, all points together
