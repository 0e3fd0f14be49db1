"""A watch's report as JSON values: what is not finite becomes null."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msflow_stream.stream.counters import Latency, SourceCounts
from msflow_stream.types import SCORE_KINDS
from msflow_stream.watch.live_frames import finite
from msflow_stream.watch.report import Alive, CameraReport, WatchReport, healthy, ready

NO_FRAMES = SourceCounts(taken=0, scored=0, delivered=0, dropped={})


def report_values(report: WatchReport, alive: Alive | None, out: Path) -> dict[str, Any]:
    """Returns all of it, with what is free on the disk of the output folder."""
    stream = report.stream
    stages = {"waiting": stream.waiting, "scoring": stream.scoring, "delivering": stream.delivering}
    return {
        "started": iso(report.started),
        "device": report.device,
        "device_bytes": report.device_bytes,
        "reloads": report.reloads,
        "failed_reloads": report.failed_reloads,
        "healthy": healthy(alive),
        "ready": ready(report),
        "batches": {str(size): number for size, number in stream.batches.items()},
        "stages": {name: _stage(latency) for name, latency in stages.items()},
        "cameras": [camera_values(one) for one in report.cameras],
        "alerts": {
            name: {
                "delivered": one.delivered,
                "retried": one.retried,
                "given_up": one.given_up,
                "waiting": one.waiting,
                "last_error": one.last_error,
                "dead": one.dead,
                "sink": one.sink,
            }
            for name, one in report.alerts.items()
        },
        "disk": _disk(out),
    }


def camera_values(camera: CameraReport) -> dict[str, Any]:
    """Returns what is known of a camera."""
    status, counts = camera.status, camera.counts or NO_FRAMES
    info = status.info
    return {
        "name": camera.name,
        "scene": camera.scene,
        **condition_values(camera),
        "frames_read": status.frames_read,
        "frames_sampled": status.frames_sampled,
        "decode_errors": status.decode_errors,
        "reconnects": status.reconnects,
        "segment": status.segment,
        "decoder": status.decoder,
        "width": None if info is None else info.width,
        "height": None if info is None else info.height,
        "rate": None if info is None or info.rate is None else float(info.rate),
        "codec": None if info is None else info.codec,
        "taken": counts.taken,
        "scored": counts.scored,
        "delivered": counts.delivered,
        "dropped": dict(counts.dropped),
        "lost": dict(camera.lost),
        "reused": camera.reused,
        "last_wall": None if camera.last_wall is None else iso(camera.last_wall),
        "last": _last(camera),
        "event": camera.event,
        "phase": camera.phase,
        "phase_done": camera.phase_done,
        "phase_of": camera.phase_of,
        "phase_text": camera.phase_text,
        "node": camera.node or None,
    }


def condition_values(camera: CameraReport) -> dict[str, Any]:
    """Returns how a camera is doing, in short."""
    status = camera.status
    return {"state": status.state, "fault": status.fault, "reason": status.reason, "lag": finite(status.lag)}


def iso(moment: datetime) -> str:
    """Returns a moment as text, in UTC."""
    return moment.astimezone(UTC).isoformat()


def _last(camera: CameraReport) -> dict[str, Any] | None:
    row = camera.last
    if row is None:
        return None
    return {
        "index": row.index,
        "time": row.time,
        "scores": {kind: finite(row.scores.of(kind)) for kind in SCORE_KINDS},
        "kind": camera.kind,
        "smoothed": finite(row.smoothed),
        "threshold": finite(row.threshold),
        "alarm": bool(row.alarm),
        "probability": finite(row.probability),
    }


def _stage(latency: Latency) -> dict[str, float]:
    return {"count": latency.count, "seconds": latency.seconds}


def _disk(out: Path) -> dict[str, int | None]:
    try:
        usage = shutil.disk_usage(out)
    except OSError:
        return {"free_bytes": None, "total_bytes": None}
    return {"free_bytes": usage.free, "total_bytes": usage.total}
