"""The state of a watch on many nodes: what each node reports, and all of it as the report of one watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.stream.counters import Counters, Latency, Snapshot, SourceCounts
from msflow_stream.video.live.states import CameraStatus, State
from msflow_stream.watch.report import CameraReport, WatchReport

NodeState = Literal["watching", "draining", "away"]
NODE_STATES: tuple[NodeState, ...] = get_args(NodeState)
NO_NODE = "waits for a node that has room for it"
AWAY, BEGINS = "its node does not answer; another one will watch it", "begins on its node"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """The state of one node.

    Attributes:
        name: the node's, which stays the same for as long as it is there.
        state: watching; draining, while its cameras go elsewhere; away, where it does not answer.
        watch: its latest report; None before the first.
        seen: when it answered last.
        frames_per_s: frames a second that its scorer sustains, as measured there; None where that is not known.
        resident_bytes: memory of the process that watches.
    """

    name: str
    state: NodeState = "watching"
    watch: WatchReport | None = None
    seen: datetime | None = None
    frames_per_s: float | None = None
    resident_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport:
    """The state of all nodes.

    Attributes:
        nodes: all that are known, those away among them.
        cameras: the scene of each camera, in the order of the cameras file.
        placed: the node of each camera that has one.
        started: when the watch began; with a time zone.
        reloads, failed_reloads: number of times that the cameras file was read again, or could not be used.
    """

    nodes: Sequence[NodeReport]
    cameras: Mapping[str, str]
    placed: Mapping[str, str]
    started: datetime
    reloads: int = 0
    failed_reloads: int = 0

    def joined(self) -> WatchReport:
        """Returns the report of one watch that has all cameras, each of which says its node."""
        reports = {node.name: node.watch for node in self.nodes if node.watch is not None and node.state != "away"}
        known = {name: {one.name: one for one in report.cameras} for name, report in reports.items()}
        devices = Counter(report.device for report in reports.values())
        return WatchReport(
            cameras=tuple(self._camera(name, known) for name in self.cameras),
            stream=joined_streams([report.stream for report in reports.values()]),
            started=self.started,
            device=f"{len(reports)} of {len(self.nodes)} nodes ({_listed(devices)})",
            device_bytes=_total(report.device_bytes for report in reports.values()),
            reloads=self.reloads,
            failed_reloads=self.failed_reloads,
            alerts=joined_alerts([report.alerts for report in reports.values()]),
        )

    def _camera(self, name: str, known: Mapping[str, Mapping[str, CameraReport]]) -> CameraReport:
        node = self.placed.get(name)
        if node is not None and (found := known.get(node, {}).get(name)) is not None:
            return replace(found, node=node)
        reason = NO_NODE if node is None else BEGINS if node in known else AWAY
        status = CameraStatus(name, State.CONNECTING, reason, None, 0, 0, 0, 0, None, None, None, None)
        return CameraReport(name, self.cameras[name], status, None, None, None, {}, node=node or "")


def joined_streams(streams: Sequence[Snapshot]) -> Snapshot:
    """Returns the sums of some streams' counters."""
    none = Counters().snapshot()
    sources: dict[str, SourceCounts] = {}
    batches: Counter[int] = Counter()
    for one in streams:
        batches.update(one.batches)
        for name, counts in one.sources.items():
            sources[name] = counts if name not in sources else _both(sources[name], counts)
    return Snapshot(
        sources,
        dict(batches),
        _latency([one.waiting for one in [none, *streams]]),
        _latency([one.scoring for one in [none, *streams]]),
        _latency([one.delivering for one in [none, *streams]]),
    )


def joined_alerts(reports: Sequence[Mapping[str, AlertReport]]) -> dict[str, AlertReport]:
    """Returns the sums of some nodes' alerts, with an error of any of them."""
    found: dict[str, AlertReport] = {}
    for alerts in reports:
        for name, one in alerts.items():
            found[name] = one if name not in found else _sum(found[name], one)
    return found


def _sum(one: AlertReport, other: AlertReport) -> AlertReport:
    return AlertReport(
        delivered=one.delivered + other.delivered,
        retried=one.retried + other.retried,
        given_up=one.given_up + other.given_up,
        waiting=one.waiting + other.waiting,
        last_error=other.last_error or one.last_error,
        dead=one.dead + other.dead,
        sink=one.sink,
    )


def _both(one: SourceCounts, other: SourceCounts) -> SourceCounts:
    dropped = Counter(one.dropped)
    dropped.update(other.dropped)
    return SourceCounts(
        one.taken + other.taken, one.scored + other.scored, one.delivered + other.delivered, dict(dropped)
    )


def _latency(latencies: Sequence[Latency]) -> Latency:
    at_most = tuple(map(sum, zip(*(one.at_most for one in latencies), strict=True)))
    return Latency(sum(one.count for one in latencies), sum(one.seconds for one in latencies), at_most)


def _total(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _listed(devices: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {device}" for device, count in devices.items()) or "none answers"
