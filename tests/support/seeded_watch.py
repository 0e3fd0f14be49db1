"""A stand-in for the watch of a seeded folder: it answers as one does on its socket, and scores nothing."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from msflow_stream.config.cameras_file import load_file
from msflow_stream.video.drawing.jpeg import to_jpeg
from tests.support.seeding import live_frame, numbered, threshold

RATE = 5.0  # frames per second
WIDTHS = (160, 320, 480, 640, 960, 1280)
LINES = (
    ("INFO", "msflow_stream.watch.watcher", "3 cameras are watched"),
    ("WARNING", "msflow_stream.video.live", "hall: no answer from rtsp://***@192.0.2.12:554/stream1; again in 8 s"),
    ("ERROR", "msflow_stream.events.alerts", "alert room: <script>alert('log')</script> 503 Service Unavailable"),
    ("INFO", "msflow_stream.watch.watcher", "cameras.yaml is read again"),
)  # fmt: skip


class SeededWatch:
    """The stand-in, at the socket that the folder's record names. A context manager.

    Attributes:
        asked: what was asked for by POST.
        letters: dead letters of the alert `room`.
        phases: further parts of a camera's report, such as its phase, by its name.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.asked, self.letters = out, list[str](), 3
        self.phases: dict[str, dict[str, Any]] = {}
        record = json.loads((out / ".watch.json").read_text())
        self._names = list(load_file(Path(record["cameras"])).cameras)
        self._started, self._begun = datetime.now(UTC), time.monotonic()
        self._folder = Path(tempfile.mkdtemp(prefix="seeded-watch-"))  # a socket's path must be short
        record |= {"pid": os.getpid(), "socket": str(self._folder / "socket"), "started": self._started.isoformat()}
        (out / ".watch.json").write_text(json.dumps(record))
        config = uvicorn.Config(self._app(), uds=record["socket"], log_config=None, timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> SeededWatch:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _app(self) -> Starlette:
        post = ["POST"]
        return Starlette(
            routes=[
                Route("/report", self._report),
                Route("/frames/{camera}", self._frame),
                Route("/log", self._log),
                Route("/reload", self._reload, methods=post),
                Route("/alerts/{name}/test", self._test, methods=post),
                Route("/alerts/{name}/retry", self._retry, methods=post),
            ]
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _report(self, _: Request) -> JSONResponse:
        disk = shutil.disk_usage(self.out)
        return JSONResponse(
            {
                "started": self._started.isoformat(),
                "device": "cpu",
                "device_bytes": 412 * 2**20,
                "reloads": self.asked.count("reload"),
                "failed_reloads": 0,
                "healthy": [],
                "ready": [],
                "batches": {"1": 120, "3": int(self._seconds * RATE)},
                "stages": {"read": 0.11, "score": 0.62},
                "cameras": [self._camera(name, number) for number, name in enumerate(self._names)],
                "alerts": {
                    "store": _alert("", delivered=37),
                    "room": _alert(
                        "webhook", delivered=31, retried=9, given_up=3, waiting=1,
                        last_error="503 Service Unavailable <b>busy</b>", dead=self.letters,
                    ),
                    "lines": _alert("jsonl", delivered=12),
                },
                "disk": {"free_bytes": disk.free, "total_bytes": disk.total},
            }
        )  # fmt: skip

    def _camera(self, name: str, number: int) -> dict[str, Any]:
        """The camera's part of the report; the third one is away."""
        away = number == 2
        frames, scored = int(self._seconds * 25), int(self._seconds * RATE)
        facts = self._facts(number)
        last = {
            "index": frames,
            "time": self._seconds,
            "scores": {"paper": 0.03, "surprise": 118.0, "surprise_mean": 42.0, "motion": 0.3, "combined": 1.1},
            **{key: facts[key] for key in ("kind", "smoothed", "threshold", "alarm", "probability")},
        }
        return {
            "name": name,
            "scene": name,
            "state": "reconnecting" if away else "running",
            "fault": "unreachable" if away else None,
            "reason": "no answer; the next attempt is in 8 s" if away else "running",
            "lag": None if away else 0.18 + 0.01 * number,
            "frames_read": 0 if away else frames,
            "frames_sampled": 0 if away else scored,
            "decode_errors": number,
            "reconnects": 14 if away else number,
            "segment": None if away else 1,
            "decoder": None if away else "cpu",
            "width": None if away else 1920,
            "height": None if away else 1080,
            "rate": None if away else 25.0,
            "codec": None if away else "h264",
            "taken": 0 if away else scored,
            "scored": 0 if away else scored,
            "delivered": 0 if away else scored,
            "dropped": {} if away else {"newer frame": number * 7},
            "lost": {"recorder:disk": 2} if number == 1 else {},
            "reused": 0,
            "last_wall": None if away else datetime.now(UTC).isoformat(),
            "last": None if away else last,
            "event": None,
            **self.phases.get(name, {}),
        }

    def _facts(self, number: int) -> dict[str, Any]:
        sequence = int(self._seconds * RATE)
        limit = threshold()
        smoothed = 1.2 + 0.9 * math.sin(self._seconds / 3 + number) + (3.0 if self._seconds % 40 > 34 + number else 0.0)
        reach = limit / 2
        return {
            "sequence": sequence + 1,
            "index": sequence * 5,
            "time": self._seconds,
            "wall": datetime.now(UTC).isoformat(),
            "smoothed": smoothed,
            "threshold": limit,
            "level": min(max(smoothed / (limit + 2 * reach), 0.0), 1.0),
            "threshold_level": limit / (limit + 2 * reach),
            "alarm": smoothed > limit,
            "probability": 10**-smoothed,
            "kind": "combined",
        }

    async def _frame(self, request: Request) -> Response:
        name, query = request.path_params["camera"], request.query_params
        if name not in self._names:
            return JSONResponse({"error": "there is no such camera"}, 404)
        number, width = self._names.index(name), int(query.get("width", 480))
        if width not in WIDTHS:
            return JSONResponse({"error": "no such width"}, 422)
        after, deadline = int(query.get("after", -1)), time.monotonic() + float(query.get("wait", 0))
        while number == 2 or self._facts(number)["sequence"] <= after:
            if time.monotonic() > deadline or self._server.should_exit:
                return Response(status_code=204)
            await asyncio.sleep(0.05)
        facts = self._facts(number)
        content = await asyncio.to_thread(_drawn, number, width, facts["sequence"], query.get("plain") == "1")
        return Response(content, media_type="image/jpeg", headers={"X-Frame": json.dumps(facts)})

    def _log(self, _: Request) -> JSONResponse:
        lines = [
            {
                "time": (self._started - timedelta(seconds=90 * (60 - number))).isoformat(),
                "level": LINES[number % len(LINES)][0],
                "logger": LINES[number % len(LINES)][1],
                "text": LINES[number % len(LINES)][2],
            }
            for number in range(60)
        ]
        return JSONResponse(lines)

    def _reload(self, _: Request) -> JSONResponse:
        self.asked.append("reload")
        return JSONResponse({})

    def _test(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        self.asked.append(f"test {name}")
        if name == "room":
            return JSONResponse({"error": "503 Service Unavailable"}, 502)
        return JSONResponse({"said": "a line was written"})

    def _retry(self, request: Request) -> JSONResponse:
        self.asked.append(f"retry {request.path_params['name']}")
        queued, self.letters = self.letters, 0
        return JSONResponse({"queued": queued})


def _alert(sink: str, **values: Any) -> dict[str, Any]:
    nothing = {"delivered": 0, "retried": 0, "given_up": 0, "waiting": 0, "last_error": None, "dead": 0}
    return {**nothing, **values, "sink": sink}


def _drawn(number: int, width: int, sequence: int, plain: bool) -> bytes:
    image = cv2.resize(live_frame(number, sequence), (width, width * 9 // 16), interpolation=cv2.INTER_AREA)
    return to_jpeg(image if plain else numbered(image, sequence))
