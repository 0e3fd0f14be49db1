"""The pages of the health server: a WSGI application."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.exposition import choose_encoder

from msflow_stream.watch.report import Alive, CameraReport, WatchReport, healthy, ready
from msflow_stream.web.metrics import registry

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
METHODS = ("GET", "HEAD")
INDEX = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>msflow-stream</title>
<h1>msflow-stream</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>: whether the process works
<li><a href="/readyz">/readyz</a>: whether it has begun to score, and how each camera is doing
</ul>
</html>
"""


class Response(NamedTuple):
    """A response: status, media type and content."""

    status: HTTPStatus
    kind: str
    body: bytes


class Pages:
    """The application; its two callables are called from several threads at once.

    Args:
        report: returns how the watch is doing now.
        alive: returns why the process makes no progress, None where it does; without it, answering is proof enough.
    """

    def __init__(self, report: Callable[[], WatchReport], alive: Alive | None) -> None:
        self._report, self._alive, self._registry = report, alive, registry(report)
        self._pages: dict[str, Callable[[str], Response]] = {
            "/": lambda _: Response(HTTPStatus.OK, HTML, INDEX),
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request."""
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        answer = self._answer(method, path, environ.get("HTTP_ACCEPT", ""))
        headers = [
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
        ]
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", ", ".join(METHODS)))
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        return [] if method == "HEAD" else [answer.body]

    def _answer(self, method: str, path: str, accept: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            return Response(HTTPStatus.NOT_FOUND, TEXT, b"not found\n")
        if method not in METHODS:
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"only GET and HEAD\n")
        try:
            return page(accept)
        except Exception:
            logger.exception("%s cannot be answered", path)
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, b"internal error\n")

    def _metrics(self, accept: str) -> Response:
        encode, kind = choose_encoder(accept)
        return Response(HTTPStatus.OK, kind, encode(self._registry))

    def _healthz(self, _: str) -> Response:
        reasons = healthy(self._alive)
        text = "\n".join(reasons or ["ok"]) + "\n"
        return Response(HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK, TEXT, text.encode())

    def _readyz(self, _: str) -> Response:
        report = self._report()
        reasons = ready(report)
        content = {"ready": not reasons, "reasons": reasons, "cameras": [_camera(one) for one in report.cameras]}
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return Response(status, JSON, json.dumps(content, indent=2).encode() + b"\n")


def _camera(camera: CameraReport) -> dict[str, str | float | None]:
    status = camera.status
    return {
        "name": camera.name,
        "state": status.state,
        "fault": status.fault,
        "reason": status.reason,
        "lag": status.lag,
    }
