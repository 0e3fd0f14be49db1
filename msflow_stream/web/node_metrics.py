"""The Prometheus metrics of a watch on many nodes: those of each node on one page, told apart by the label `node`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from msflow_stream.watch.nodes import NODE_STATES, ClusterReport, NodeReport
from msflow_stream.web.metrics import label, watch_metrics


def nodes_registry(report: Callable[[], ClusterReport]) -> CollectorRegistry:
    """Returns all metrics of all nodes, and memory and CPU time of the process that places the cameras."""
    metrics = CollectorRegistry()
    metrics.register(NodesCollector(report))
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    return metrics


class NodesCollector(Collector):
    """All metrics of all nodes, made of one report per scrape.

    A node that is away is shown as such and with nothing else: what it said last is no news.
    """

    def __init__(self, report: Callable[[], ClusterReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families of the present reports."""
        report = self._report()
        families: dict[str, Metric] = {}
        for node in report.nodes:
            if node.watch is None or node.state == "away":
                continue
            for family in watch_metrics(node.watch):
                merged = families.setdefault(family.name, _without_samples(family))
                merged.samples += [
                    one._replace(labels={**one.labels, "node": label(node.name)}) for one in family.samples
                ]
        yield from families.values()
        yield from _nodes(report.nodes)
        yield from _placement(report)


def _without_samples(family: Metric) -> Metric:
    return Metric(family.name, family.documentation, family.type, family.unit)


def _nodes(nodes: Sequence[NodeReport]) -> Iterator[Metric]:
    states = GaugeMetricFamily("msflow_node_state", "1 for the present state of the node.", labels=["node", "state"])
    capacity = GaugeMetricFamily(
        "msflow_node_capacity_frames_per_second", "Frames a second that its scorer sustains.", labels=["node"]
    )
    memory = GaugeMetricFamily(
        "msflow_node_resident_memory_bytes", "Memory of the process that watches.", labels=["node"]
    )
    seen = GaugeMetricFamily("msflow_node_seen_timestamp_seconds", "When the node answered last.", labels=["node"])
    for node in nodes:
        name = label(node.name)
        for state in NODE_STATES:
            states.add_metric([name, state], float(state == node.state))
        if node.frames_per_s is not None:
            capacity.add_metric([name], node.frames_per_s)
        if node.resident_bytes is not None:
            memory.add_metric([name], node.resident_bytes)
        if node.seen is not None:
            seen.add_metric([name], node.seen.timestamp())
    yield from (states, capacity, memory, seen)


def _placement(report: ClusterReport) -> Iterator[Metric]:
    cameras = GaugeMetricFamily("msflow_node_cameras", "Cameras that were placed on the node.", labels=["node"])
    for node in report.nodes:
        placed = sum(name == node.name for camera, name in report.placed.items() if camera in report.cameras)
        cameras.add_metric([label(node.name)], placed)
    yield cameras
    without = sum(camera not in report.placed for camera in report.cameras)
    yield GaugeMetricFamily("msflow_cameras_without_node", "Cameras that no node watches.", without)
