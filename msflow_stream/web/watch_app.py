"""What a watch answers: metrics and health to all who may reach its port, and the rest to its console alone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import WIDTHS, ShownFrame
from msflow_stream.watch.nodes import ClusterReport
from msflow_stream.watch.report import Alive, CameraReport, WatchReport, healthy, ready
from msflow_stream.web.metrics import registry
from msflow_stream.web.node_metrics import nodes_registry
from msflow_stream.web.watch_values import condition_values, report_values

logger = logging.getLogger(__name__)

MOST_WAIT = 20.0  # seconds for a newer frame
INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>msflow-stream</title>
<h1>msflow-stream</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>: whether the process works
<li><a href="/readyz">/readyz</a>: whether it has begun to score, and how each camera is doing
</ul>
</html>
"""

Answer = Callable[[Request], Response | Awaitable[Response]]
Nodes = Callable[[], ClusterReport]


class Alerts(Protocol):
    """The alerts of a watch, as `EventRouter` has them; both raise UserError."""

    def test(self, name: str) -> None:
        """Sends a message about an event that is plainly a test."""

    def retry_dead(self, name: str) -> int:
        """Queues dead letters again, and returns their number."""


class WatchFrames(Protocol):
    """The newest frames of the cameras, as `LiveFrames` has them, or nodes elsewhere."""

    async def shown(self, name: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        """Returns a camera's newest frame, None where none is newer than `after` so soon; KeyError: no such camera."""

    def close(self) -> None:
        """Has nobody wait any longer."""


class WatchLog(Protocol):
    """The latest lines of the log, as `LogLines` has them, or nodes elsewhere."""

    def lines(self) -> list[dict[str, str]]:
        """Returns the lines, the oldest first: time (ISO 8601, in UTC), level, logger and text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchDesk:
    """What the console may ask of a watch, and have it do; its functions are called from several threads.

    Attributes:
        report: returns how the watch is doing.
        alive: returns why it makes no progress, None where it does.
        out: the folder that it writes to.
        frames: the newest frame of each camera.
        log: the lines of the log.
        reload: reads the cameras file and the scenes again; UserError where that changes nothing.
        alerts: the alerts.
        nodes: returns how each node is doing, for the metrics; None where this process is the only one.
    """

    report: Callable[[], WatchReport]
    alive: Alive | None
    out: Path
    frames: WatchFrames
    log: WatchLog
    reload: Callable[[], None]
    alerts: Alerts
    nodes: Nodes | None = None


def public_app(report: Callable[[], WatchReport], alive: Alive | None = None, nodes: Nodes | None = None) -> Starlette:
    """Returns the application for all who may reach the port: metrics, health and readiness.

    Args:
        report: returns how the watch is doing now; called from several threads.
        alive: returns why the process makes no progress, None where it does; without it, answering is proof enough.
        nodes: returns how each node is doing; None where this process is the only one.
    """
    return _app(_health_routes(report, alive, nodes))


def private_app(desk: WatchDesk) -> Starlette:
    """Returns the application for the console, at a socket that nobody else can reach."""
    calls = WatchCalls(desk)
    return _app(
        [
            *_health_routes(desk.report, desk.alive, desk.nodes),
            route("/report", calls.report),
            route("/frames/{camera}", calls.frame),
            route("/log", calls.log),
            route("/reload", calls.reload, "POST"),
            route("/alerts/{name}/test", calls.test_alert, "POST"),
            route("/alerts/{name}/retry", calls.retry_alert, "POST"),
        ]
    )


class WatchCalls:
    """The handlers of what the console asks."""

    def __init__(self, desk: WatchDesk) -> None:
        self._desk = desk

    def report(self, _: Request) -> Response:
        """Returns how everything is doing."""
        return JSONResponse(report_values(self._desk.report(), self._desk.alive, self._desk.out))

    async def frame(self, request: Request) -> Response:
        """Returns a camera's newest frame, once it is newer than the last one that the asker has."""
        try:
            width, after, plain = (int(request.query_params.get(key, "0")) for key in ("width", "after", "plain"))
            seconds = float(request.query_params.get("wait", "0"))
        except ValueError:
            return JSONResponse({"error": "width, after and wait are numbers"}, 400)
        if width not in WIDTHS:
            return JSONResponse({"error": f"width is one of {', '.join(map(str, WIDTHS))}"}, 400)
        name, wait = request.path_params["camera"], max(0.0, min(MOST_WAIT, seconds))
        try:
            shown = await self._desk.frames.shown(name, width, after, wait, plain == 1)
        except KeyError:
            return JSONResponse({"error": "there is no such camera"}, 404)
        if shown is None:
            return Response(status_code=204)
        return Response(shown.jpeg, media_type="image/jpeg", headers={"X-Frame": json.dumps(shown.facts)})

    def log(self, _: Request) -> Response:
        """Returns the last hour's lines of the log."""
        return JSONResponse(self._desk.log.lines())

    def reload(self, _: Request) -> Response:
        """Reads the cameras file and the scenes again."""

        def reload() -> dict[str, Any]:
            self._desk.reload()
            return {}

        return done(reload, 422)

    def test_alert(self, request: Request) -> Response:
        """Sends a test by an alert, and says what became of it."""
        name = request.path_params["name"]

        def test() -> dict[str, Any]:
            self._desk.alerts.test(name)
            return {"said": "the receiver has taken the test message"}

        return done(test, 502)

    def retry_alert(self, request: Request) -> Response:
        """Queues the dead letters of an alert again."""
        name = request.path_params["name"]
        return done(lambda: {"queued": self._desk.alerts.retry_dead(name)}, 422)


def done(work: Callable[[], dict[str, Any]], failed: int) -> Response:
    """Returns what work says, or why it failed, with that status."""
    try:
        return JSONResponse(work())
    except UserError as error:
        return JSONResponse({"error": str(error)}, failed)


def _app(routes: Sequence[Route]) -> Starlette:
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def route(path: str, answer: Answer, method: str = "GET") -> Route:
    """Returns a route whose faults are logged and never shown."""

    async def safely(request: Request) -> Response:
        try:
            if asyncio.iscoroutinefunction(answer):
                response: Response = await answer(request)
            else:
                response = await run_in_threadpool(answer, request)  # type: ignore[arg-type]
        except Exception:
            logger.exception("%s cannot be answered", path)
            response = PlainTextResponse("internal error\n", 500)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return Route(path, safely, methods=[method])


def _health_routes(report: Callable[[], WatchReport], alive: Alive | None, nodes: Nodes | None) -> list[Route]:
    metrics = registry(report) if nodes is None else nodes_registry(nodes)
    return [
        route("/", lambda _: HTMLResponse(INDEX)),
        route("/metrics", lambda request: _metrics(metrics, request)),
        route("/healthz", lambda _: _healthz(alive)),
        route("/readyz", lambda _: _readyz(report())),
    ]


def _metrics(metrics: CollectorRegistry, request: Request) -> Response:
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(metrics), headers={"Content-Type": kind})


def _healthz(alive: Alive | None) -> Response:
    reasons = healthy(alive)
    return PlainTextResponse("\n".join(reasons or ["ok"]) + "\n", 503 if reasons else 200)


def _readyz(report: WatchReport) -> Response:
    reasons = ready(report)
    content = {"ready": not reasons, "reasons": reasons, "cameras": [_condition(one) for one in report.cameras]}
    return Response(json.dumps(content, indent=2) + "\n", 503 if reasons else 200, media_type="application/json")


def _condition(camera: CameraReport) -> dict[str, Any]:
    return {"name": camera.name, **condition_values(camera)}
