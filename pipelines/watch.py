"""`watch`: many cameras, each with its scene, in one process, day and night; `--check` opens each of them once."""

from __future__ import annotations

import fcntl
import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

import torch
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape

from msflow_stream.config.cameras import Camera, Cameras
from msflow_stream.config.cameras_file import load_cameras, load_file
from msflow_stream.config.engines import STREAMS
from msflow_stream.config.settings import EngineSettings
from msflow_stream.files import make_folder
from msflow_stream.logs import Redactor
from msflow_stream.machine import choose_device, settle_memory
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.scorer import IN_FLIGHT
from msflow_stream.stream.contract import Limits
from msflow_stream.stream.signals import on_signals, stops_on_signals
from msflow_stream.types import UserError
from msflow_stream.video.cards import Card
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.camera_outputs import WatchOutputs
from msflow_stream.watch.event_router import EventRouter, secrets_of
from msflow_stream.watch.probe import Probe, probe
from msflow_stream.watch.report import WatchReport
from msflow_stream.watch.watcher import Watcher
from msflow_stream.web.server import HealthServer

from .terminal.log_setup import LogKind, logged
from .terminal.progress import table
from .terminal.status_table import StatusTable

log = logging.getLogger(__name__)

STOP_SECONDS, CLOSE_SECONDS, ROUTER_SECONDS = 5.0, 2.5, 1.5  # of the 10 s of a stop: frames on their way, files, alerts
AT_ONCE = 16  # cameras that are opened at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchJob:
    """The request to `watch`.

    Attributes:
        cameras: the cameras file.
        scenes: the folder of the scenes.
        written: what is written of each camera, and where.
        device: auto, cpu, cuda, cuda:1 and so on.
        batch: frames scored at once, at most.
        address: host and port of metrics and health; None for none.
        logs: lines for people or JSON.
        table: whether a terminal shows how every camera is doing.
        engine: what runs the networks of the scenes.
        scene_bytes: of weights of scenes that are ready to score; None: no end to it.
    """

    cameras: Path
    scenes: Path
    written: WatchOutputs
    device: str = "auto"
    batch: int = 8
    address: tuple[str, int] | None = None
    logs: LogKind = "text"
    table: bool = True
    engine: EngineSettings = field(default_factory=EngineSettings)
    scene_bytes: int | None = None


def watch(job: WatchJob, console: Console | None = None) -> None:
    """Runs until SIGTERM or Ctrl-C, or until all cameras have ended; SIGHUP reads the cameras file again.

    Raises:
        UserError: a cameras file or scene that cannot be used, a folder that another watch writes to, an address in
            use; at the end, cameras that failed.
    """
    settle_memory()
    console = console or Console()
    shown = job.table and job.logs == "text" and console.is_terminal
    with logged(job.logs, console if shown else None) as redactor:
        _watch(job, redactor, console if shown else None)


def _watch(job: WatchJob, redactor: Redactor, console: Console | None) -> None:
    file = load_file(job.cameras)
    _hide_secrets(redactor, file)
    with ExitStack() as stack:
        stack.enter_context(held_alone(job.written.out))
        router = EventRouter(file, job.written.out, Random())
        stack.callback(router.close, ROUTER_SECONDS)
        streams = 1 if len(file.cameras) == 1 else STREAMS  # of a single camera, only the newest frame waits
        inference = make_inference(job.engine, capacity_bytes=job.scene_bytes, streams=streams)
        cache = SceneCache(job.scenes, job.device, inference.prepare)
        watcher = Watcher(
            file.cameras,
            scenes=cache,
            outputs=job.written,
            router=router,
            random=Random(),
            limits=Limits(batch=job.batch, scorers=_scorers(cache.device, file)),
            inference=inference,
        )

        def report() -> WatchReport:
            return replace(watcher.report(), alerts=router.report())

        if job.address is not None:
            server = stack.enter_context(HealthServer(*job.address, report, watcher.stuck))
            log.info("metrics and health: %s", server.url)
        if console is not None:
            stack.enter_context(status_shown(report, console))
        interrupted = run(watcher, lambda: reload(watcher, router, job, redactor))
    if watcher.failures and not interrupted:
        raise UserError(f"all cameras have ended; failed: {'; '.join(watcher.failures.values())}")


def _scorers(device: torch.device, file: Cameras) -> int:
    """A GPU gets the next batch while the scores of the last are looked at; what skips frames wants them in order."""
    gated = any(camera.skip_static for camera in file.cameras.values())
    return 1 if device.type == "cpu" or gated else IN_FLIGHT


def run(watcher: Watcher, reread: Callable[[], None]) -> bool:
    """Watches until the end; True if it was asked to end."""
    with on_signals({signal.SIGHUP: reread}), stops_on_signals(watcher.runner, STOP_SECONDS) as stopping:
        try:
            with watcher.runner:
                watcher.start()
                log.info("cameras watched: %d", len(watcher.report().cameras))
                watcher.runner.join()
        finally:
            log.info("stopping: what is open is finished")
            watcher.close(CLOSE_SECONDS)
    return stopping.is_set()


def reload(watcher: Watcher, router: EventRouter, job: WatchJob, redactor: Redactor) -> None:
    """Reads the cameras file again; one that cannot be used changes nothing."""
    try:
        file = load_file(job.cameras)
        _hide_secrets(redactor, file)
        router.reroute(file)
        watcher.reload(file.cameras)
    except UserError as error:
        watcher.failed_reloads += 1
        log.error("the cameras stay as they are: %s", error)


def _hide_secrets(redactor: Redactor, file: Cameras) -> None:
    """Hides from now on what the cameras file holds of credentials."""
    redactor.add_credentials(urls_of(file))
    redactor.add(secrets_of(file))


def urls_of(file: Cameras) -> list[str]:
    """Returns all addresses, which may hold credentials."""
    urls = [camera.url for camera in file.cameras.values()]
    urls += [camera.restream for camera in file.cameras.values() if camera.restream is not None]
    return [url.get_secret_value() for url in [*urls, *([] if file.store is None else [file.store])]]


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other watches out of it.

    Raises:
        UserError: it cannot be made or written to, or another process watches into it.
    """
    make_folder(folder)
    try:
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another watch writes to {folder}: stop it, or choose another --out") from None
        yield


@contextmanager
def status_shown(report: Callable[[], WatchReport], console: Console) -> Iterator[None]:
    """Shows how every camera is doing, below the log, every second."""
    status = StatusTable()

    def render() -> RenderableType:
        return status.draw(report(), datetime.now(UTC), console.width)

    with Live(get_renderable=render, console=console, refresh_per_second=1):
        yield


def check(file: Path, scenes: Path, console: Console | None = None, device: str = "auto") -> None:
    """Prints a line for every camera; the device is where the scenes would be.

    Raises:
        UserError: the file, a scene or a camera cannot be used.
    """
    console, card = console or Console(), card_of(choose_device(device))
    cameras = load_cameras(file)
    missing = {name: wrong for name, camera in cameras.items() if (wrong := _scene_trouble(camera, scenes))}
    with console.status("opening the cameras"), ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(cameras, pool.map(partial(_probed, card=card), cameras.items()), strict=True))
    rows = [_row(name, camera, found[name], missing.get(name)) for name, camera in cameras.items()]
    console.print(table(f"{file}", ["camera", "scene", "picture", "codec", "first picture", "result"], rows))
    failed = [name for name in cameras if name in missing or isinstance(found[name], UserError)]
    if failed:
        raise UserError(f"{len(failed)} of {len(cameras)} cameras cannot be watched: {', '.join(failed)}")


def _probed(item: tuple[str, Camera], card: Card | None) -> Probe | UserError:
    name, camera = item
    try:
        return probe(camera.url.get_secret_value(), name, camera, card)
    except UserError as error:
        return error


def _scene_trouble(camera: Camera, scenes: Path) -> str | None:
    try:
        for name in camera.scenes:
            scene = Scene.load(scene_folder(scenes, name))
            area_mask(camera.watch, camera.ignore, scene.settings.input.size)
    except UserError as error:
        return str(error)
    return None


def _row(name: str, camera: Camera, found: Probe | UserError, missing: str | None) -> list[str]:
    trouble = "; ".join(str(one) for one in (missing, found) if isinstance(one, str | UserError))
    result = f"[red]{escape(trouble)}[/]" if trouble else "[green]good[/]"
    scene = ", ".join(camera.scenes)
    if isinstance(found, UserError):
        return [name, scene, "–", "–", "–", result]
    facts = f"{found.width} x {found.height}, {float(found.rate):.3g}/s"
    return [name, scene, facts, f"{found.codec} ({found.decoder})", f"{found.seconds:.1f} s", result]
