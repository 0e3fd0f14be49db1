"""What is measured of each camera, and under which name Prometheus finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from msflow_stream.stream.counters import NEWER_FRAME, SourceCounts
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import CameraReport

Kind = type[CounterMetricFamily] | type[GaugeMetricFamily]

NO_FRAMES = SourceCounts(taken=0, scored=0, delivered=0, dropped={})


def camera_metrics(cameras: Sequence[CameraReport]) -> Iterator[Metric]:
    """All metric families that have a label `camera`."""
    scenes = InfoMetricFamily("msflow_camera", "The scene that the camera is compared with.", labels=["camera"])
    for camera in cameras:
        scenes.add_metric([label(camera.name)], {"scene": label(camera.scene)})
    yield scenes
    yield from _reading(cameras)
    yield from _frames(cameras)
    yield from _scores(cameras)


def label(text: str) -> str:
    """The text as a label's value: what cannot be encoded would cost the whole scrape."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _reading(cameras: Sequence[CameraReport]) -> Iterator[Metric]:
    count, gauge = partial(_of_each, CounterMetricFamily, cameras), partial(_of_each, GaugeMetricFamily, cameras)
    mark = partial(_of_each_by, GaugeMetricFamily, cameras)
    yield count("msflow_frames_read", "Frames that arrived from the camera.", lambda c: c.status.frames_read)
    yield count("msflow_frames_sampled", "Frames handed on to be scored.", lambda c: c.status.frames_sampled)
    yield count("msflow_decode_errors", "Damaged packets and frames.", lambda c: c.status.decode_errors)
    yield count("msflow_reconnects", "Attempts to connect again.", lambda c: c.status.reconnects)
    yield mark("msflow_camera_state", "1 for the present state.", ("state",), lambda c: _marks(State, c.status.state))
    yield mark("msflow_camera_fault", "1 for the present trouble.", ("fault",), lambda c: _marks(Fault, c.status.fault))
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
    """A family with one value per camera; None where it is not known, and not shown."""
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
    """A family with several values per camera, by further labels."""
    family = kind(name, text, labels=["camera", *labels])
    for camera in cameras:
        for further, number in values(camera).items():
            family.add_metric([label(camera.name), *map(label, further)], number)
    return family


def _marks(all_of_them: Iterable[StrEnum], present: StrEnum | None) -> dict[tuple[str, ...], float]:
    """1 for the present one and 0 for the others, so that each has a history without gaps."""
    return {(str(one),): float(one is present) for one in all_of_them}


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
