"""What a coordinator tells a node of a cluster, and what the node says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from msflow_stream.config.cameras import Cameras
from msflow_stream.watch.report import WatchReport

from ..machine_watch import WatchJob

NODES = ".nodes"  # in the output folder: a folder for each node, for what no other one touches


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The cameras that a node is to watch from now on; all that it needs to begin from nothing.

    Attributes:
        number: rises with each assignment.
        job: the settings of the watch.
        file: the whole cameras file.
        cameras: names of those that this node is to watch.
        reloads: number of times that the file was read again: with a higher one, what failed is tried again.
    """

    number: int
    job: WatchJob
    file: Cameras
    cameras: tuple[str, ...]
    reloads: int = 0


class LogLine(NamedTuple):
    """A line of a node's log, without secrets."""

    number: int
    level: int
    logger: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """The state of one node.

    Attributes:
        node: its name.
        born: another one whenever its process has begun anew, with nothing.
        told: number of the assignment that it follows; 0 before the first.
        cameras: those of the assignment.
        watch: how its cameras are doing; None before the first assignment.
        ready: cameras that it could begin at once, as their scenes are loaded.
        held: the cameras that it has the lease of, with the lease's fencing number.
        troubles: why cameras cannot be watched here, by name.
        fps: frames per second that its scorer sustains; None where that is not measured yet.
        memory: bytes that scenes may take.
        resident_bytes: memory of its process.
        away: whether the store does not answer it, so that it can neither keep cameras nor take any.
        stuck: why its process makes no progress, None where it does.
        lines: lines of its log since the last report.
    """

    node: str
    born: str
    told: int = 0
    cameras: frozenset[str] = frozenset()
    watch: WatchReport | None = None
    ready: frozenset[str] = frozenset()
    held: Mapping[str, int] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)
    fps: float | None = None
    memory: int | None = None
    resident_bytes: int | None = None
    away: bool = False
    stuck: str | None = None
    lines: tuple[LogLine, ...] = ()
