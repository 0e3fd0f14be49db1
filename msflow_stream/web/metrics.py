"""The Prometheus metrics of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.stream.counters import LATENCY_BOUNDS, NEWER_FRAME, Latency, Snapshot, SourceCounts
from msflow_stream.teaching.drift.finding import KINDS
from msflow_stream.teaching.learning import PHASES
from msflow_stream.video.cards import Decoder
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import CameraReport, WatchReport

Kind = type[CounterMetricFamily] | type[GaugeMetricFamily]
NO_FRAMES = SourceCounts(taken=0, scored=0, delivered=0, dropped={})
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128)  # frames


def camera_metrics(cameras: Sequence[CameraReport]) -> Iterator[Metric]:
    """Yields all metric families that have a label `camera`."""
    scenes = InfoMetricFamily("msflow_camera", "The scene that the camera is compared with.", labels=["camera"])
    for camera in cameras:
        scenes.add_metric([label(camera.name)], {"scene": label(camera.scene)})
    yield scenes
    yield from _reading(cameras)
    yield from _frames(cameras)
    yield from _scores(cameras)


def label(text: str) -> str:
    """Returns the text as a label's value: what cannot be encoded would cost the whole scrape."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _reading(cameras: Sequence[CameraReport]) -> Iterator[Metric]:
    count, gauge = partial(_of_each, CounterMetricFamily, cameras), partial(_of_each, GaugeMetricFamily, cameras)
    mark = partial(_of_each_by, GaugeMetricFamily, cameras)
    yield count("msflow_frames_read", "Frames that arrived from the camera.", lambda c: c.status.frames_read)
    yield count("msflow_frames_sampled", "Frames handed on to be scored.", lambda c: c.status.frames_sampled)
    yield count("msflow_decode_errors", "Damaged packets and frames.", lambda c: c.status.decode_errors)
    yield mark(
        "msflow_camera_phase",
        "1 for the present phase: a scene is learnt before it is watched with.",
        ("phase",),
        lambda c: {(phase,): float(phase == c.phase) for phase in PHASES},
    )
    yield mark(
        "msflow_drift",
        "1 where the camera's days drift away from what was learnt, by kind.",
        ("kind",),
        lambda c: {} if c.drift is None else {(kind,): float(kind in c.drift) for kind in KINDS},
    )
    yield gauge(
        "msflow_camera_phase_done_ratio",
        "Share of the footage or the normal scores of the phase that there is.",
        lambda c: min(1.0, c.phase_done / c.phase_of) if c.phase_of else None,
    )
    yield count("msflow_reconnects", "Attempts to connect again.", lambda c: c.status.reconnects)
    yield mark("msflow_camera_state", "1 for the present state.", ("state",), lambda c: _marks(State, c.status.state))
    yield mark("msflow_camera_fault", "1 for the present trouble.", ("fault",), lambda c: _marks(Fault, c.status.fault))
    yield mark("msflow_camera_decoder", "1 for what decodes it.", ("decoder",), _decoder)
    yield gauge("msflow_camera_segment", "Connection that gave the last frame, from 0.", lambda c: c.status.segment)
    yield gauge("msflow_camera_lag_seconds", "How far behind live the camera is.", lambda c: c.status.lag)
    yield gauge("msflow_picture_width_pixels", "Width.", lambda c: c.status.info.width if c.status.info else None)
    yield gauge("msflow_picture_height_pixels", "Height.", lambda c: c.status.info.height if c.status.info else None)


def _frames(cameras: Sequence[CameraReport]) -> Iterator[Metric]:
    count, count_by = (
        partial(_of_each, CounterMetricFamily, cameras),
        partial(_of_each_by, CounterMetricFamily, cameras),
    )
    yield count("msflow_frames_scored", "Frames scored.", lambda c: (c.counts or NO_FRAMES).scored)
    yield count(
        "msflow_frames_delivered", "Frames whose scores were delivered.", lambda c: (c.counts or NO_FRAMES).delivered
    )
    yield count("msflow_frames_reused", "Frames that showed nothing new and took an earlier score.", lambda c: c.reused)
    yield count_by("msflow_frames_dropped", "Frames sampled, but not delivered.", ("cause",), _drops)
    yield count_by("msflow_sink_lost", "What a sink could not keep.", ("sink", "cause"), _losses)


def _scores(cameras: Sequence[CameraReport]) -> Iterator[Metric]:
    gauge = partial(_of_each, GaugeMetricFamily, cameras)
    yield gauge("msflow_score", "Latest image score.", lambda c: c.last.score if c.last else None)
    yield gauge("msflow_surprise", "Latest surprise.", lambda c: c.last.surprise if c.last else None)
    yield gauge("msflow_surprise_mean", "Latest mean surprise.", lambda c: c.last.surprise_mean if c.last else None)
    yield gauge(
        "msflow_score_smoothed", "What is compared with the threshold.", lambda c: c.last.smoothed if c.last else None
    )
    yield gauge(
        "msflow_score_threshold",
        "A smoothed score above it is an alarm.",
        lambda c: c.last.threshold if c.last else None,
    )
    yield gauge("msflow_alarm", "1 while there is an alarm, else 0.", lambda c: c.last.alarm if c.last else None)
    yield gauge(
        "msflow_score_timestamp_seconds",
        "When the frame of the latest score came.",
        lambda c: c.last_wall.timestamp() if c.last_wall else None,
    )


def _of_each(
    kind: Kind, cameras: Sequence[CameraReport], name: str, text: str, value: Callable[[CameraReport], float | None]
) -> Metric:
    """Returns a family with one value per camera; one that is not known (None) is not shown."""
    family = kind(name, text, labels=["camera"])
    for camera in cameras:
        if (number := value(camera)) is not None:
            family.add_metric([label(camera.name)], number)
    return family


def _of_each_by(
    kind: Kind,
    cameras: Sequence[CameraReport],
    name: str,
    text: str,
    labels: Sequence[str],
    values: Callable[[CameraReport], Mapping[tuple[str, ...], float]],
) -> Metric:
    """Returns a family with several values per camera, by further labels."""
    family = kind(name, text, labels=["camera", *labels])
    for camera in cameras:
        for further, number in values(camera).items():
            family.add_metric([label(camera.name), *map(label, further)], number)
    return family


def _marks(all_of_them: Iterable[StrEnum], present: StrEnum | None) -> dict[tuple[str, ...], float]:
    """Returns 1 for the present one and 0 for the others, so that each has a history without gaps."""
    return {(str(one),): float(one is present) for one in all_of_them}


def _decoder(camera: CameraReport) -> dict[tuple[str, ...], float]:
    return {(name,): float(name == camera.status.decoder) for name in get_args(Decoder)}


def _drops(camera: CameraReport) -> dict[tuple[str, ...], float]:
    # The everyday cause is there from the start: a rate needs a first value.
    dropped = {NEWER_FRAME: 0, **(camera.counts or NO_FRAMES).dropped}
    return {(cause,): frames for cause, frames in dropped.items()}


def _losses(camera: CameraReport) -> dict[tuple[str, ...], float]:
    result: dict[tuple[str, ...], float] = {}
    for key, lost in camera.lost.items():
        sink, _, cause = key.partition(":")
        result[sink, cause] = float(lost)
    return result


def registry(report: Callable[[], WatchReport]) -> CollectorRegistry:
    """Returns all metrics of a watch, its process's memory and CPU time among them; any thread may call `report`."""
    metrics = CollectorRegistry()
    metrics.register(WatchCollector(report))
    ProcessCollector(registry=metrics)
    PlatformCollector(registry=metrics)
    return metrics


class WatchCollector(Collector):
    """All metrics, made of one report per scrape: they fit each other, and a camera that was removed is gone."""

    def __init__(self, report: Callable[[], WatchReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families of the present report."""
        yield from watch_metrics(self._report())


def watch_metrics(report: WatchReport) -> Iterator[Metric]:
    """Yields all metric families of a report."""
    yield from camera_metrics(report.cameras)
    yield _batches(report.stream.batches)
    yield _stages(report.stream)
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
    """Returns buckets as prometheus_client takes them; the last one has no bound."""
    return [*((str(float(b)), n) for b, n in zip(bounds, at_most, strict=True)), ("+Inf", count)]
