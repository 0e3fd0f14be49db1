"""What all handlers of the console share: the folder of the watch, its store, its people, and the templates."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from anyio import CapacityLimiter
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse

import msflow_stream
from msflow_stream.config.cameras import Cameras
from msflow_stream.config.cameras_file import load_file
from msflow_stream.events.store import EventStore
from msflow_stream.results.run_folder import SCORES
from msflow_stream.types import UserError
from msflow_stream.web.access.accounts import Accounts
from msflow_stream.web.access.roles import Role, User
from msflow_stream.web.console.dialing import Desk
from msflow_stream.web.console.drift_view import Drifts
from msflow_stream.web.console.tries import Tries
from msflow_stream.web.live.live import Live
from msflow_stream.web.watch_client import WatchClient

STATIC = Path(__file__).parents[1] / "static"
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
LONGEST_PREFIX = 200


@dataclass
class Console:
    """The console's surroundings.

    Attributes:
        out: the folder that the watch writes to.
        cameras_file: the cameras file; None where it is not known.
        scenes: the folder of the scenes.
        store: the events, and what people said of them.
        watch: the watch itself, which may not run.
        prefix: path below which a reverse proxy shows the console, "" or /a/b; None: as the proxy says.
        menu: names and paths of the pages in the menu, and what each needs of a person.
        accounts: the people, and the log of what they did.
        dials: works of the page of thresholds.
        tries: limits on trying addresses of cameras.
        changing: held while the cameras file or a scene is changed: two people at once would mix their changes.
    """

    out: Path
    cameras_file: Path | None
    scenes: Path
    store: EventStore
    watch: WatchClient
    prefix: str | None = ""
    menu: Sequence[tuple[str, str, Role]] = field(default_factory=list)
    accounts: Accounts = field(init=False)
    dials: Desk = field(default_factory=Desk)
    tries: Tries = field(default_factory=Tries)
    changing: Lock = field(default_factory=Lock)
    _read: tuple[int, Cameras] | None = None  # the cameras file, and when it was changed

    def __post_init__(self) -> None:
        """Finds the people in the store's database."""
        self.accounts = Accounts(self.store)

    def root(self, connection: HTTPConnection) -> str:
        """Returns the path that all links begin with, without a slash at its end."""
        if self.prefix is not None:
            return self.prefix
        asked = connection.headers.get("x-ingress-path") or connection.headers.get("x-forwarded-prefix") or ""
        asked = asked.rstrip("/")
        return asked if len(asked) <= LONGEST_PREFIX and PREFIX.fullmatch(asked) else ""

    def user(self, connection: HTTPConnection) -> User:
        """Returns who is signed in, where a route needs somebody."""
        found: User = connection.scope["state"]["user"]
        return found

    def cameras(self, connection: HTTPConnection) -> list[str]:
        """Returns the names of the cameras that a person may see, in the order of the cameras file."""
        user = self.user(connection)
        return [name for name in self.all_cameras() if user.sees(name)]

    def all_cameras(self) -> list[str]:
        """Returns the names of all cameras: those of the cameras file, then others that have a folder of scores.

        While the file cannot be read, as somebody is editing it, they are those that it had before.
        """
        try:
            settings = self.camera_settings()
        except UserError:
            settings = None if self._read is None else self._read[1]
        named = [] if settings is None else list(settings.cameras)
        folders = sorted(path.parent.name for path in self.out.glob(f"*/{SCORES}"))
        return [*named, *(name for name in folders if name not in named)]

    def camera_settings(self) -> Cameras | None:
        """Returns the cameras file as it is now, None where it is not known which it is.

        Raises:
            UserError: it cannot be read.
        """
        if self.cameras_file is None:
            return None
        changed = self.cameras_file.stat().st_mtime_ns if self.cameras_file.exists() else -1
        if self._read is None or self._read[0] != changed:
            self._read = changed, load_file(self.cameras_file)
        return self._read[1]

    def check_camera(self, connection: HTTPConnection, name: str) -> str:
        """Returns the name of a camera that a person may see: looked up, never a path from a request.

        Raises:
            HTTPException: 404, there is none, or they may not see it.
        """
        for known in self.cameras(connection):
            if known == name:
                return known
        raise HTTPException(404, "there is no such camera")

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Returns a page; besides `values` a template knows root, link, asset, user, menu and here."""
        user: User | None = request.state.user
        root = self.root(request)
        shared = {
            "root": root,
            "user": user,
            "menu": [(name, path) for name, path, needs in self.menu if user is not None and user.role.covers(needs)],
            "here": request.url.path.removeprefix(request.scope.get("root_path", "")),
            "status": status,
            "start": self.start,
            "version": msflow_stream.__version__,
            "link": lambda *parts: root + "/" + "/".join(quote(str(part), safe="") for part in parts),
            "asset": lambda name: f"{root}/static/{self.asset_version}/{name}",
        }
        return HTMLResponse(self.templates.get_template(template).render({**shared, **values}), status)

    @property
    def start(self) -> str:
        """The command that starts the watch of this folder."""
        cameras = self.cameras_file or "cameras.yaml"
        parts = ("msflow-stream", "watch", cameras, "--scenes", self.scenes, "--out", self.out)
        return shlex.join(map(str, parts))

    @cached_property
    def drifts(self) -> Drifts:
        """The drift of the cameras."""
        return Drifts(self.out, self.scenes, self.store)

    @cached_property
    def slow(self) -> CapacityLimiter:
        """The few places of what reads long spans; who waits for one holds no thread."""
        return CapacityLimiter(2)

    @cached_property
    def hashing(self) -> CapacityLimiter:
        """The few places of those who sign in, which is meant to take long."""
        return CapacityLimiter(4)

    @cached_property
    def live(self) -> Live:
        """What browsers that look at live cameras share."""
        return Live(self.watch, self.store, self.all_cameras)

    @cached_property
    def templates(self) -> Environment:
        """The templates; whatever they are given is escaped."""
        loader = PackageLoader("msflow_stream.web", "templates")
        return Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

    @cached_property
    def asset_version(self) -> str:
        """A part of the address of assets that changes with them, so that browsers may keep them for ever."""
        digest = sha256()
        for path in sorted(path for path in STATIC.rglob("*") if path.is_file()):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]
