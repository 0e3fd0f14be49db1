"""`watch`: many cameras, each with its scene, in one process, day and night; `--check` opens each of them once."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape

from msflow_stream.config.cameras import Camera, Cameras
from msflow_stream.config.cameras_file import load_cameras, load_file
from msflow_stream.files import held_lock, make_folder
from msflow_stream.logs import LogLines, Redactor
from msflow_stream.machine import choose_device, settle_memory
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.stream.signals import on_signals, stops_on_signals
from msflow_stream.types import UserError
from msflow_stream.video.cards import Card
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.camera import is_learning
from msflow_stream.watch.event_router import store_url
from msflow_stream.watch.probe import Probe, probe
from msflow_stream.watch.report import WatchReport
from msflow_stream.web.server import WebServer
from msflow_stream.web.watch_app import WatchDesk, private_app, public_app
from msflow_stream.web.watch_record import WatchRecord, socket_path

from .console_process import ConsoleProcess
from .machine_watch import STOP_SECONDS, MachineWatch, WatchJob, hide_secrets, machine_watch
from .terminal.consoles import summary_console
from .terminal.log_setup import logged
from .terminal.progress import table
from .terminal.status_table import StatusTable

log = logging.getLogger(__name__)

MOST_ASKED = 200  # connections of the console, which waits for at most 80 frames
AT_ONCE = 16  # cameras that are opened at the same time


def watch(job: WatchJob, console: Console | None = None) -> None:
    """Runs until SIGTERM or Ctrl-C, or until all cameras have ended; SIGHUP reads the cameras file again.

    Raises:
        UserError: a cameras file or scene that cannot be used, a folder that another watch writes to, an address in
            use; at the end, cameras that failed.
    """
    settle_memory()
    console = console or summary_console()
    shown = shows_status(job, console)
    with logged(job.logs, console if shown else None) as redactor:
        _watch(job, redactor, console if shown else None)


def shows_status(job: WatchJob, console: Console) -> bool:
    """Returns whether a console is to show how every camera is doing: a terminal that can draw, and is not silent."""
    return job.table and job.logs == "text" and console.is_interactive and not console.quiet


def _watch(job: WatchJob, redactor: Redactor, console: Console | None) -> None:
    file = first_file(job)
    hide_secrets(redactor, file)
    with ExitStack() as stack:
        stack.enter_context(held_alone(job.written.out))
        lines = stack.enter_context(LogLines(redactor))
        machine = stack.enter_context(machine_watch(job, file))
        watcher, reloading = machine.watcher, Lock()

        def reread() -> None:
            with reloading:
                reload(machine, job, redactor)

        desk = WatchDesk(
            report=machine.report,
            alive=watcher.stuck,
            out=job.written.out,
            frames=machine.frames,
            log=lines,
            reload=reread,
            alerts=machine.router,
        )
        stack.enter_context(answering(job, desk))
        if job.console is not None:
            stack.enter_context(ConsoleProcess(job.written.out, job.console, store_url(file, job.written.out)))
        if console is not None:
            stack.enter_context(status_shown(machine.report, console))
        stack.enter_context(machine.supervisor)
        interrupted = run(machine, reread)
    if watcher.failures and not interrupted:
        raise UserError(f"all cameras have ended; failed: {'; '.join(watcher.failures.values())}")


def first_file(job: WatchJob) -> Cameras:
    """Returns the cameras file; beside a console it may be missing, and cameras are added there.

    Raises:
        UserError: it cannot be used, or has no cameras, and there is no console to add any.
    """
    if job.console is not None and not job.cameras.exists():
        make_folder(job.cameras.absolute().parent)
        with os.fdopen(os.open(job.cameras, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write("cameras: {}\n")
    return checked_file(job)


def checked_file(job: WatchJob) -> Cameras:
    """Returns the cameras file as it is now.

    Raises:
        UserError: as `first_file`.
    """
    file = load_file(job.cameras)
    if not file.cameras and job.console is None:
        raise UserError(f"{job.cameras} has no cameras: add one, or give --console and add one there")
    return file


@contextmanager
def answering(job: WatchJob, desk: WatchDesk) -> Iterator[None]:
    """Answers those who ask how the watch is doing, and its console, which the record in the folder leads to.

    Raises:
        UserError: it cannot listen.
    """
    with ExitStack() as stack:
        url = None
        if job.address is not None:
            url = stack.enter_context(WebServer(public_app(desk.report, desk.alive, desk.nodes), job.address)).url
            log.info("metrics and health: %s", url)
        path = stack.enter_context(socket_path(job.written.out))
        stack.enter_context(WebServer(private_app(desk), path, name="console socket", most=MOST_ASKED))
        stack.callback(desk.frames.close)  # first of all: nobody waits any longer
        WatchRecord(
            pid=os.getpid(),
            socket=str(path),
            cameras=str(job.cameras.absolute()),
            scenes=str(job.scenes.absolute()),
            started=datetime.now(UTC).isoformat(),
            http=url,
        ).write(job.written.out)
        yield


def run(machine: MachineWatch, reread: Callable[[], None]) -> bool:
    """Watches until the end; True if it was asked to end."""

    def obey() -> None:
        with suppress(UserError):  # which is in the log
            reread()

    runner = machine.watcher.runner
    with on_signals({signal.SIGHUP: obey}), stops_on_signals(runner, STOP_SECONDS) as stopping:
        machine.watch()
    return stopping.is_set()


def reload(machine: MachineWatch, job: WatchJob, redactor: Redactor) -> None:
    """Reads the cameras file again, and the scenes that have changed.

    Raises:
        UserError: one cannot be used; nothing was changed.
    """
    try:
        file = checked_file(job)
        hide_secrets(redactor, file)
        machine.follow(file, file.cameras)
    except UserError as error:
        machine.watcher.failed_reloads += 1
        log.error("the cameras stay as they are: %s", error)
        raise


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other watches out of it.

    Raises:
        UserError: it cannot be made or written to, or another process watches into it.
    """
    make_folder(folder)
    with ExitStack() as stack:
        try:
            held = stack.enter_context(held_lock(folder))
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --out") from None
        if not held:
            raise UserError(f"another watch writes to {folder}: stop it, or choose another --out")
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
    opening = summary_console(stderr=True).status("opening the cameras")
    with opening, ThreadPoolExecutor(AT_ONCE) as pool:
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
        if is_learning(camera, scenes):
            return None
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
