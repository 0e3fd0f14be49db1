"""One camera: its live frame, the scores of the last hours, and what is configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from msflow_stream.config.cameras import Camera
from msflow_stream.events.store import EventFilter, EventStore
from msflow_stream.logs import redact
from msflow_stream.results.wording import every, figure, span
from msflow_stream.scenes.folder import read_record, scene_folder
from msflow_stream.types import UserError
from msflow_stream.watch.replay.history import history
from msflow_stream.watch.replay.recorded import Recorded
from msflow_stream.web.access.roles import Role
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.normal_here import exceptions_of_camera, told
from msflow_stream.web.console.routing import call, page
from msflow_stream.web.live.status import unknown

MOST_SPAN = timedelta(days=8)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
MOST_POINTS, POINTS = 8000, 2000
MOST_EVENTS = 500  # of a span

Facts = Sequence[tuple[str, str]]


@page("/cameras/{name}")
async def camera(request: Request, console: Console) -> Response:
    """Shows the page."""
    name = await run_in_threadpool(console.check_camera, request, request.path_params["name"])
    status = await console.live.status.soon()
    now: Mapping[str, Any] = next((one for one in status["cameras"] if one["name"] == name), unknown(name))
    return await run_in_threadpool(shown, request, console, now, status["watch"])


def shown(request: Request, console: Console, now: Mapping[str, Any], watch: str) -> Response:
    """Returns the page of a camera that is so now."""
    try:
        settings = console.camera_settings()
    except UserError:  # a cameras file that somebody is editing
        settings = None
    configured = None if settings is None else settings.cameras.get(now["name"])
    scenes = configured.scenes if configured is not None else [now["scene"]] if now.get("scene") else []
    return console.render(
        request,
        "camera.html.j2",
        camera=now,
        watch=watch,
        configured=None
        if configured is None
        else configuration(configured, list(settings.alerts if settings else ()), console.user(request).role),
        drifts=console.drifts.of(now["name"], scenes),
        scenes=[(scene, *scene_facts(console, scene)) for scene in scenes],
        exceptions=[told(console, *one) for one in reversed(exceptions_of_camera(console, now["name"], scenes))],
    )


def configuration(camera: Camera, alerts: Sequence[str], role: Role) -> Facts:
    """Returns what the cameras file says of a camera, without credentials; viewers are not told addresses."""
    facts = []
    if role.covers(Role.OPERATOR):
        facts.append(("Address", redact(camera.url.get_secret_value())))
        if camera.restream is not None:
            facts.append(("Overlay sent to", redact(camera.restream.get_secret_value())))
    if camera.scene is not None:
        facts.append(("Scene", camera.scene_name))
    else:
        facts.append(("Schedule", ", ".join(f"from {one.start:%H:%M} {one.scene}" for one in camera.schedule)))
    named = alerts if camera.alerts is None else camera.alerts
    counted = (("to watch", camera.watch), ("to ignore", camera.ignore), ("private", getattr(camera, "privacy", ())))
    areas = ", ".join(f"{len(areas)} {kind}" for kind, areas in counted if areas)
    facts += [
        ("Scored", "every frame" if camera.every == 1 else f"one frame in {camera.every}"),
        ("Still frames", "take the last score" if camera.skip_static else "scored like others"),
        ("Decoder", {"auto": "chosen by itself", "cpu": "processor", "cuda": "graphics card"}[camera.decode]),
        ("Transport", camera.transport.upper()),
        ("Areas", areas or "none: all of the view counts"),
        ("Alerts", ", ".join(named) or "none"),
    ]
    return facts


def scene_facts(console: Console, name: str) -> tuple[Facts, str | None]:
    """Returns how a scene was fitted, and what is wrong with it, None where nothing is."""
    try:
        record = read_record(scene_folder(console.scenes, name))
    except UserError as error:
        return [], str(error)
    return [fact for fact in (*fit_facts(record), *threshold_facts(record)) if fact[1]], None


def fit_facts(record: Mapping[str, Any]) -> Facts:
    """Returns how a scene was fitted, as its scene.json says."""
    fit, settings = record.get("fit") or {}, record.get("settings") or {}
    sources = fit.get("sources") or {}
    height, width = (settings.get("input") or {}).get("size") or (None, None)
    footage = f"{sum(sources.values())} frames of {', '.join(list(sources)[:4])}" if sources else ""
    return [
        ("Fitted", str(fit.get("created", ""))),
        ("Footage", footage + (f" and {len(sources) - 4} more" if len(sources) > 4 else "")),
        ("Backbone", str((settings.get("model") or {}).get("backbone", ""))),
        ("Input", "" if width is None else f"{width} x {height}"),
        ("Weights", str(record.get("weights_sha256", ""))[:12]),
    ]


def threshold_facts(record: Mapping[str, Any]) -> Facts:
    """Returns a scene's thresholds and what they rest on, as its scene.json says."""
    calibration = record.get("calibration")
    if not calibration:
        return [("Threshold", "none: calibrate the scene")]
    kind = ((record.get("settings") or {}).get("score") or {}).get("kind", "paper")
    limit, basis = (calibration.get("limits") or {}).get(kind) or {}, calibration.get("basis") or {}
    rate = limit.get("rate")
    return [
        ("Judged by", f"the {kind} score"),
        ("Threshold", figure((calibration.get("thresholds") or {}).get(kind))),
        ("False alarms", "" if rate is None else every(rate)),
        ("Calibrated on", f"{span(basis['hours'])} of normal footage" if basis.get("hours") else ""),
    ]


@call("/cameras/{name}/history", is_slow=True)
def camera_history(request: Request, console: Console) -> Response:
    """Returns the scores of a span for a chart, its events, and the time here; all are seconds since 1970 (UTC)."""
    name = console.check_camera(request, request.path_params["name"])
    now = datetime.now(UTC)
    until = moment(request, "until", now)
    since = moment(request, "since", until - timedelta(hours=1))
    if not timedelta(0) < until - since <= MOST_SPAN:
        raise HTTPException(400, f"since and until are a span of at most {MOST_SPAN.days} days")
    points = request.query_params.get("points", str(POINTS))
    if not points.isdecimal() or not 2 <= int(points[:9]) <= MOST_POINTS:
        raise HTTPException(400, f"points is a number from 2 to {MOST_POINTS}")
    drawn = history(Recorded.read(console.out / name, since, until, name), int(points))
    events = events_of(console.store, name, since, until)
    return JSONResponse({**drawn, "events": events, "now": now.timestamp(), "until": until.timestamp()})


def moment(request: Request, key: str, default: datetime) -> datetime:
    """Returns a moment of a request's query.

    Raises:
        HTTPException: it is none.
    """
    try:
        found = datetime.fromtimestamp(float(request.query_params.get(key, default.timestamp())), UTC)
        return min(max(found, EARLIEST), LATEST)
    except (ValueError, OverflowError, OSError):
        raise HTTPException(400, f"{key} is a number of seconds since 1970") from None


def events_of(store: EventStore, name: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Returns the events of a span, newest first: id, start, end (None while it is open) and severity."""
    found = store.find(EventFilter(camera=name, since=since, until=until, limit=MOST_EVENTS))
    return [
        {
            "id": one.event.id,
            "start": one.happened.timestamp(),
            "end": None if one.event.end is None else one.happened.timestamp() + one.event.end - one.event.start,
            "severity": one.event.severity,
            "label": one.label,
        }
        for one in found
    ]
