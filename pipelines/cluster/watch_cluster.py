"""`watch --cluster`: many cameras on many machines, day and night."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Event, Lock
from typing import TYPE_CHECKING

from rich.console import Console

from msflow_stream.config.cameras import Cameras
from msflow_stream.logs import LogLines, Redactor
from msflow_stream.stream.signals import SIGNALS, on_signals
from msflow_stream.types import UserError
from msflow_stream.watch.event_router import store_url
from msflow_stream.web.watch_app import WatchDesk

from ..console_process import ConsoleProcess
from ..machine_watch import WatchJob, hide_secrets
from ..terminal.consoles import summary_console
from ..terminal.log_setup import logged
from ..watch import answering, checked_file, first_file, held_alone, shows_status, status_shown
from .coordinator import LOOK, Coordinator
from .node_desk import NodeAlerts, NodeFrames
from .session import connected

if TYPE_CHECKING:
    from .heartbeat import Heartbeat

log = logging.getLogger(__name__)


def watch_cluster(job: WatchJob, address: str, console: Console | None = None) -> None:
    """Runs until SIGTERM or Ctrl-C; SIGHUP reads the cameras file again, SIGUSR1 has one node after another begin anew.

    Killed, it leaves the nodes as they are: they go on, and are found again by the next one.

    Raises:
        UserError: a cameras file, store or scene that cannot be used, no such cluster, a folder that another watch
            writes to, an address in use.
    """
    console = console or summary_console()
    shown = shows_status(job, console)
    with logged(job.logs, console if shown else None) as redactor:
        _watch(job, address, redactor, console if shown else None)


def _watch(job: WatchJob, address: str, redactor: Redactor, console: Console | None) -> None:
    file = first_file(job)
    check_store(file, job)
    hide_secrets(redactor, file)
    job = shared(job)
    with ExitStack() as stack:
        stack.enter_context(held_alone(job.written.out))
        lines = stack.enter_context(LogLines(redactor))
        stack.enter_context(connected(address))
        from .fleet import RayFleet
        from .heartbeat import Heartbeat

        coordinator, reloading = Coordinator(RayFleet(), job, file), Lock()

        def reread() -> None:
            with reloading:
                reload(coordinator, job, redactor)

        desk = WatchDesk(
            report=lambda: coordinator.report().joined(),
            alive=coordinator.stuck,
            out=job.written.out,
            frames=NodeFrames(coordinator.node_of, coordinator.calls),
            log=lines,  # what nodes log is logged here too
            reload=reread,
            alerts=NodeAlerts(coordinator.calls),
            nodes=coordinator.report,
        )
        stack.enter_context(answering(job, desk))
        if job.console is not None:
            stack.enter_context(ConsoleProcess(job.written.out, job.console, store_url(file, job.written.out)))
        if console is not None:
            stack.enter_context(status_shown(desk.report, console))
        run(coordinator, reread, stack.enter_context(Heartbeat(address)))


def run(coordinator: Coordinator, reread: Callable[[], None], heartbeat: Heartbeat) -> None:
    """Watches until it is asked to end; then all nodes finish what is open.

    Raises:
        UserError: the cluster is gone.
    """
    ending = Event()

    def obey() -> None:
        with suppress(UserError):  # which is in the log
            reread()

    actions = {signal.SIGHUP: obey, signal.SIGUSR1: coordinator.restart_nodes}
    with on_signals({**actions, **dict.fromkeys(SIGNALS, ending.set)}):
        coordinator.start()
        while not ending.wait(LOOK):
            heartbeat.check()
        log.info("stopping: all nodes finish what is open")
        coordinator.close()
        coordinator.stop()


def reload(coordinator: Coordinator, job: WatchJob, redactor: Redactor) -> None:
    """Reads the cameras file again, for all nodes.

    Raises:
        UserError: it cannot be used; nothing was changed.
    """
    try:
        file = checked_file(job)
        hide_secrets(redactor, file)
        coordinator.follow(file)
    except UserError as error:
        coordinator.count_failed_reload()
        log.error("the cameras stay as they are: %s", error)
        raise


def check_store(file: Cameras, job: WatchJob) -> None:
    """Makes sure that all nodes can reach the store.

    Raises:
        UserError: it is a file.
    """
    if not store_url(file, job.written.out).startswith("postgresql"):
        raise UserError(
            f"{job.cameras}: nodes of a cluster share a database: add `store: postgresql://USER:PASSWORD@HOST/DATABASE`"
        )


def shared(job: WatchJob) -> WatchJob:
    """Returns the job as nodes are to have it: with paths that mean the same there, wherever they are run."""
    return replace(
        job,
        cameras=job.cameras.absolute(),
        scenes=job.scenes.absolute(),
        written=replace(job.written, out=job.written.out.absolute()),
    )
