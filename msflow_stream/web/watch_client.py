"""The console's way to the watch: its record in the output folder, and its socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from msflow_stream.types import UserError
from msflow_stream.web.watch_record import WatchRecord

PATIENCE = 10.0  # seconds for an answer, beyond those that are asked for
LONG = 120.0  # seconds for what has to load scenes


class WatchAway(Exception):  # noqa: N818 - names the state that passes
    """The watch does not run, or does not answer."""


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A frame of a camera.

    Attributes:
        jpeg: the frame as a file.
        facts: what is known of it; `sequence` tells it from others.
    """

    jpeg: bytes
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """An answer for programs that look after others, passed on as it is."""

    status: int
    kind: str
    body: bytes


class WatchClient:
    """Asks the watch that writes to a folder; it may begin, end and begin again. To be closed by `aclose`.

    All that is async belongs to one event loop, and raises WatchAway while no watch runs.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._client: httpx.AsyncClient | None = None
        self._socket = ""  # that of the client

    def record(self) -> WatchRecord | None:
        """Returns what the watch that runs, or ran last, has written of itself; None where there was none.

        Raises:
            UserError: it is damaged.
        """
        return WatchRecord.read(self._out)

    async def report(self) -> dict[str, Any]:
        """Returns how the watch is doing."""
        values: dict[str, Any] = _values(await self._ask("GET", "/report"))
        return values

    async def frame(
        self, camera: str, width: int, after: int = 0, wait: float = 0.0, plain: bool = False
    ) -> LiveFrame | None:
        """Returns a camera's newest frame, None where none is newer than `after` within so many seconds, up to 20.

        Raises:
            KeyError: there is no such camera.
        """
        asked = {"width": width, "after": after, "wait": wait, "plain": int(plain)}
        response = await self._ask("GET", f"/frames/{quote(camera, safe='')}", asked, PATIENCE + wait)
        if response.status_code == 404:
            raise KeyError(camera)
        if response.status_code == 204:
            return None
        if response.status_code != 200:
            raise WatchAway(f"the watch answers {response.status_code}")
        return LiveFrame(response.content, json.loads(response.headers["X-Frame"]))

    async def log(self) -> list[dict[str, Any]]:
        """Returns the last hour's lines of the log."""
        lines: list[dict[str, Any]] = _values(await self._ask("GET", "/log"))
        return lines

    async def reload(self) -> None:
        """Has the watch read its cameras file and its scenes again.

        Raises:
            UserError: nothing was changed; it says why.
        """
        _values(await self._ask("POST", "/reload", seconds=LONG))

    async def test_alert(self, name: str) -> str:
        """Has an alert send a test, and returns what became of it.

        Raises:
            UserError: it did not arrive; it says why, without secrets.
        """
        said: str = _values(await self._ask("POST", f"/alerts/{quote(name, safe='')}/test", seconds=20.0))["said"]
        return said

    async def retry_alert(self, name: str) -> int:
        """Has the dead letters of an alert queued again, and returns their number.

        Raises:
            UserError: they are not; it says why.
        """
        queued: int = _values(await self._ask("POST", f"/alerts/{quote(name, safe='')}/retry", seconds=60.0))["queued"]
        return queued

    async def health(self, path: str, accept: str = "*/*") -> HealthAnswer:
        """Returns what the watch answers at /metrics, /healthz or /readyz."""
        response = await self._ask("GET", path, accept=accept)
        return HealthAnswer(response.status_code, response.headers["Content-Type"], response.content)

    async def aclose(self) -> None:
        """Ends the connections."""
        if self._client is not None:
            await self._client.aclose()
        self._client, self._socket = None, ""

    async def _ask(
        self,
        method: str,
        path: str,
        asked: dict[str, Any] | None = None,
        seconds: float = PATIENCE,
        accept: str = "*/*",
    ) -> httpx.Response:
        try:
            client = await self._connected()
            return await client.request(method, path, params=asked, headers={"Accept": accept}, timeout=seconds)
        except (httpx.HTTPError, RuntimeError) as error:  # the second: it was closed for another watch meanwhile
            raise WatchAway(f"the watch does not answer ({type(error).__name__})") from None

    async def _connected(self) -> httpx.AsyncClient:
        """Returns the client of the watch that runs now; another than before may have another socket."""
        try:
            record = self.record()
        except UserError as error:
            raise WatchAway(str(error)) from None
        if record is None:
            raise WatchAway("no watch has written to this folder yet")
        if self._client is None or self._socket != record.socket:
            old, self._client, self._socket = self._client, _client_of(record.socket), record.socket
            if old is not None:
                await old.aclose()
        return self._client


def _client_of(path: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # each camera may be waited for
    # A socket has no certificates; to read the system's would take half a second.
    transport = httpx.AsyncHTTPTransport(uds=path, verify=False, retries=1, limits=limits)
    return httpx.AsyncClient(transport=transport, base_url="http://watch", trust_env=False)


def _values(response: httpx.Response) -> Any:
    """Returns the JSON of an answer.

    Raises:
        UserError: what was asked for could not be done.
        WatchAway: the watch is in trouble.
    """
    try:
        values = response.json()
    except ValueError:
        raise WatchAway(f"the watch answers {response.status_code}") from None
    if response.status_code >= 400:
        raise UserError(str(values.get("error", f"the watch answers {response.status_code}")))
    return values
