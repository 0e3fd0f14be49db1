from __future__ import annotations

import math
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from msflow_stream.stream.counters import LATENCY_BOUNDS, Counters, Latency, SourceCounts
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import WatchReport
from msflow_stream.web.metrics import BATCH_BOUNDS, registry
from tests.web.reports import (
    HOSTILE,
    INFO,
    NOW,
    ROW,
    SECRET,
    STARTED,
    alarmed,
    dark,
    in_state,
    nothing,
    of_all_sorts,
    promtool,
    report,
    running,
    unreachable,
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(get: Callable[[], WatchReport]) -> str:
    return generate_latest(registry(get)).decode()


def samples(text: str, read: Callable[[str], Iterable[Metric]] = parse) -> Samples:
    found: Samples = {}
    for family in read(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def names(found: Samples, **labels: str) -> set[str]:
    return {name for name, has in found if frozenset(labels.items()) <= has}


@pytest.mark.parametrize("name", ["gate", HOSTILE])
def test_a_running_camera_is_shown_with_its_own_numbers(name: str) -> None:
    camera = running(name)
    found = samples(scrape(lambda: report(camera, unreachable())))
    assert camera.counts is not None
    expected: dict[str, float] = {
        "msflow_frames_read_total": camera.status.frames_read,
        "msflow_frames_sampled_total": camera.status.frames_sampled,
        "msflow_frames_scored_total": camera.counts.scored,
        "msflow_frames_reused_total": camera.reused,
        "msflow_frames_delivered_total": camera.counts.delivered,
        "msflow_decode_errors_total": camera.status.decode_errors,
        "msflow_reconnects_total": camera.status.reconnects,
        "msflow_camera_segment": 1,
        "msflow_camera_lag_seconds": 0.25,
        "msflow_picture_width_pixels": INFO.width,
        "msflow_picture_height_pixels": INFO.height,
        "msflow_score": ROW.score,
        "msflow_surprise": ROW.surprise,
        "msflow_surprise_mean": ROW.surprise_mean,
        "msflow_score_smoothed": ROW.smoothed,
        "msflow_score_threshold": ROW.threshold,
        "msflow_alarm": 0,
        "msflow_score_timestamp_seconds": NOW.timestamp(),
    }
    assert {metric: value(found, metric, camera=name) for metric in expected} == expected
    assert value(found, "msflow_camera_info", camera=name, scene="yard") == 1
    decoders = {one: value(found, "msflow_camera_decoder", camera=name, decoder=one) for one in ("cpu", "cuda")}
    assert decoders == {"cpu": 0, "cuda": 1}


def test_drops_and_losses_are_shown_by_cause() -> None:
    found = samples(scrape(lambda: report(running())))
    assert value(found, "msflow_frames_dropped_total", camera="gate", cause="newer frame") == 12
    assert value(found, "msflow_frames_dropped_total", camera="gate", cause="source failed") == 1
    assert value(found, "msflow_sink_lost_total", camera="gate", sink="recorder", cause="disk") == 3
    assert value(found, "msflow_sink_lost_total", camera="gate", sink="preview", cause="slow: disk") == 4


@pytest.mark.parametrize("state", State)
def test_exactly_the_present_state_is_marked(state: State) -> None:
    found = samples(scrape(lambda: report(in_state("gate", state))))
    marks = {one: value(found, "msflow_camera_state", camera="gate", state=one) for one in State}
    assert marks == {one: float(one is state) for one in State}


def test_the_present_trouble_is_marked_and_none_where_there_is_none() -> None:
    found = samples(scrape(lambda: report(dark("cellar"), running("gate"))))
    for name, present in (("cellar", Fault.BLACK), ("gate", None)):
        marks = {fault: value(found, "msflow_camera_fault", camera=name, fault=fault) for fault in Fault}
        assert marks == {fault: float(fault is present) for fault in Fault}


def test_what_is_not_known_of_a_camera_is_not_shown_but_its_counters_begin_at_zero() -> None:
    found = samples(scrape(lambda: report(unreachable("roof"))))
    unknown = ("segment", "lag", "picture", "score_", "surprise", "alarm")
    assert not [name for name in names(found, camera="roof") if name.startswith(tuple(f"msflow_{u}" for u in unknown))]
    assert "msflow_camera_lag_seconds" not in names(found, camera="roof")
    assert "msflow_score" not in names(found, camera="roof")
    for counter in ("read", "sampled", "scored", "delivered"):
        assert value(found, f"msflow_frames_{counter}_total", camera="roof") == 0
    assert value(found, "msflow_frames_dropped_total", camera="roof", cause="newer frame") == 0
    assert value(found, "msflow_reconnects_total", camera="roof") == 4321


def test_an_alarm_is_one() -> None:
    assert value(samples(scrape(lambda: report(alarmed("door")))), "msflow_alarm", camera="door") == 1


def test_scores_that_are_no_numbers_are_shown_as_what_they_are() -> None:
    camera = replace(running(), last=replace(ROW, scores=ROW.scores._replace(paper=math.nan), threshold=math.inf))
    found = samples(scrape(lambda: report(camera)))
    assert math.isnan(value(found, "msflow_score", camera="gate"))
    assert value(found, "msflow_score_threshold", camera="gate") == math.inf


def test_batches_are_counted_by_size() -> None:
    found = samples(scrape(report))  # of 1, 3, 4, 4, 16 and 300 frames
    expected = {1: 1, 2: 1, 4: 4, 8: 4, 16: 5, 32: 5, 64: 5, 128: 5}
    buckets = {bound: value(found, "msflow_batch_frames_bucket", le=str(float(bound))) for bound in BATCH_BOUNDS}
    assert buckets == expected
    assert value(found, "msflow_batch_frames_bucket", le="+Inf") == 6
    assert value(found, "msflow_batch_frames_count") == 6
    assert value(found, "msflow_batch_frames_sum") == 328


@pytest.mark.parametrize("stage", ["waiting", "scoring", "delivering"])
def test_latencies_are_shown_by_stage(stage: str) -> None:
    whole = report()
    latency: Latency = getattr(whole.stream, stage)
    found = samples(scrape(lambda: whole))
    buckets = [value(found, "msflow_stage_seconds_bucket", stage=stage, le=str(bound)) for bound in LATENCY_BOUNDS]
    assert buckets == list(latency.at_most)
    assert value(found, "msflow_stage_seconds_bucket", stage=stage, le="+Inf") == latency.count
    assert value(found, "msflow_stage_seconds_count", stage=stage) == latency.count
    assert value(found, "msflow_stage_seconds_sum", stage=stage) == latency.seconds


def test_the_process_is_shown_too() -> None:
    found = samples(scrape(report))
    assert value(found, "msflow_device_memory_bytes", device="cuda:0") == 3 * 2**30
    assert value(found, "msflow_start_time_seconds") == STARTED.timestamp()
    assert value(found, "msflow_config_reloads_total", result="ok") == 5
    assert value(found, "msflow_config_reloads_total", result="failed") == 1
    assert value(found, "process_resident_memory_bytes") > 2**20
    assert "python_info" in names(found)


def test_memory_of_a_device_that_does_not_say_is_not_shown() -> None:
    assert "msflow_device_memory_bytes" not in names(samples(scrape(nothing)))


def test_a_camera_that_is_removed_leaves_nothing_behind() -> None:
    present = [report(running("gate"), running("door"))]
    metrics = registry(lambda: present[0])
    assert names(samples(generate_latest(metrics).decode()), camera="door")
    present[0] = report(running("gate"))
    text = generate_latest(metrics).decode()
    assert "door" not in text
    assert names(samples(text), camera="gate")


def test_openmetrics_says_the_same() -> None:
    metrics = registry(of_all_sorts)
    metrics_text = generate_latest(metrics).decode()
    found = samples(openmetrics.generate_latest(metrics).decode(), parse_openmetrics)
    ours = {key: number for key, number in samples(metrics_text).items() if key[0].startswith("msflow_")}
    assert {key: number for key, number in found.items() if key[0].startswith("msflow_")} == ours


def test_credentials_reach_no_metric() -> None:
    assert SECRET not in scrape(of_all_sorts)


def test_a_name_that_cannot_be_encoded_does_not_cost_the_scrape() -> None:
    assert names(samples(scrape(lambda: report(running("gate"), running("do\udc80or")))), camera="gate")


@pytest.mark.parametrize("make", [of_all_sorts, nothing, report], ids=["cameras of all sorts", "nothing", "no cameras"])
def test_promtool_finds_nothing_to_criticise(make: Callable[[], WatchReport]) -> None:
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=scrape(make), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_counters_never_decrease_while_a_watch_goes_on() -> None:
    counters = Counters()
    frames = 0

    def now() -> WatchReport:
        camera = running()
        status = replace(camera.status, frames_read=5 * frames, frames_sampled=frames)
        counts = counters.source("gate").counts()
        return replace(report(replace(camera, status=status, counts=counts)), stream=counters.snapshot())

    metrics, scrapes = registry(now), []
    for frames in range(1, 30):
        source = counters.source("gate")
        source.add_taken()
        source.add_scored() if frames % 3 else source.add_dropped("newer frame")
        counters.add_batch(frames)
        counters.scoring.add(frames / 100)
        scrapes.append(samples(generate_latest(metrics).decode()))
    growing = ("_total", "_bucket", "_count", "_sum")
    for before, after in pairwise(scrapes):
        fallen = [key for key, number in before.items() if key[0].endswith(growing) and after[key] < number]
        assert not fallen
    assert value(scrapes[-1], "msflow_frames_read_total", camera="gate") == 145


def test_each_of_many_scrapes_at_once_shows_one_moment() -> None:
    """Every number of the report at moment n is n, and the cameras come and go."""
    moment, lock = 0, threading.Lock()

    def now() -> WatchReport:
        nonlocal moment
        with lock:
            moment += 1
            n = moment
        one = running()
        status = replace(one.status, frames_read=n, frames_sampled=n)
        counts = SourceCounts(n, n, n, {"newer frame": n})
        camera = replace(
            one, status=status, counts=counts, last=replace(ROW, scores=ROW.scores._replace(paper=float(n)))
        )
        cameras = tuple(replace(camera, name=f"camera{i}") for i in range(n % 4))
        return replace(report(*cameras), reloads=n)

    metrics, failures = registry(now), []

    def ask() -> None:
        for _ in range(20):
            found = samples(generate_latest(metrics).decode())
            n = value(found, "msflow_config_reloads_total", result="ok")
            cameras = {dict(has)["camera"] for _, has in found if "camera" in dict(has)}
            shown = {
                value(found, name, camera=camera)
                for camera in cameras
                for name in ("msflow_frames_read_total", "msflow_frames_delivered_total", "msflow_score")
            }
            if shown - {n} or len(cameras) != n % 4:
                failures.append((n, shown, cameras))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert moment == 120, "a report per scrape, and none besides"
