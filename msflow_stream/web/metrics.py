"""A report as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.health.camera_metrics import camera_metrics, label
from msflow_stream.stream.counters import LATENCY_BOUNDS, Latency, Snapshot
from msflow_stream.watch.report import WatchReport

BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128)  # frames


def registry(report: Callable[[], WatchReport]) -> CollectorRegistry:
    """All metrics of a watch, and its process's memory and CPU time; `report` is called from any thread."""
    metrics = CollectorRegistry()
    metrics.register(WatchCollector(report))
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    return metrics


class WatchCollector(Collector):
    """Makes all metrics anew from one report per scrape: they fit each other, and a camera that was removed is gone."""

    def __init__(self, report: Callable[[], WatchReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Returns the metric families of the present report."""
        report = self._report()
        yield from camera_metrics(report.cameras)
        yield _batches(report.engine.batches)
        yield _stages(report.engine)
        yield from _alerts(report.alerts)
        yield from _process(report)


def _batches(batches: Mapping[int, int]) -> Metric:
    at_most = [sum(count for size, count in batches.items() if size <= bound) for bound in BATCH_BOUNDS]
    frames = sum(size * count for size, count in batches.items())
    buckets = _buckets(BATCH_BOUNDS, at_most, sum(batches.values()))
    return HistogramMetricFamily("msflow_batch_frames", "Frames in a batch.", buckets, frames)


def _stages(engine: Snapshot) -> Metric:
    stages: dict[str, Latency] = {
        "waiting": engine.waiting,
        "scoring": engine.scoring,
        "delivering": engine.delivering,
    }
    text = "How long a frame waited, a batch was scored, a score was delivered."
    family = HistogramMetricFamily("msflow_stage_seconds", text, labels=["stage"])
    for name, latency in stages.items():
        family.add_metric([name], _buckets(LATENCY_BOUNDS, latency.at_most, latency.count), latency.seconds)
    return family


def _alerts(alerts: Mapping[str, AlertReport]) -> Iterator[Metric]:
    counters: dict[str, tuple[str, Callable[[AlertReport], int]]] = {
        "msflow_alerts_delivered": ("Messages that the store or an alert has taken.", lambda one: one.delivered),
        "msflow_alerts_retried": ("Attempts that failed and are made again.", lambda one: one.retried),
        "msflow_alerts_given_up": ("Messages given up, to be found in the dead-letter file.", lambda one: one.given_up),
    }
    for name, (text, value) in counters.items():
        family = CounterMetricFamily(name, text, labels=["alert"])
        for alert, one in alerts.items():
            family.add_metric([label(alert)], value(one))
        yield family
    waiting = GaugeMetricFamily("msflow_alerts_waiting", "Messages in the queue on disk.", labels=["alert"])
    for alert, one in alerts.items():
        waiting.add_metric([label(alert)], one.waiting)
    yield waiting


def _process(report: WatchReport) -> Iterator[Metric]:
    memory = GaugeMetricFamily("msflow_device_memory_bytes", "Memory in use on what scores.", labels=["device"])
    if report.device_bytes is not None:
        memory.add_metric([label(report.device)], report.device_bytes)
    yield memory
    yield GaugeMetricFamily("msflow_start_time_seconds", "When the watch began.", report.started.timestamp())
    reloads = CounterMetricFamily("msflow_config_reloads", "Attempts to reload the cameras file.", labels=["result"])
    reloads.add_metric(["ok"], report.reloads)
    reloads.add_metric(["failed"], report.failed_reloads)
    yield reloads


def _buckets(bounds: Iterable[float], at_most: Sequence[int], count: int) -> list[tuple[str, float]]:
    """Buckets as prometheus_client takes them; the last one has no bound."""
    return [*((str(float(b)), n) for b, n in zip(bounds, at_most, strict=True)), ("+Inf", count)]
