"""The watch of one machine, or of one node of a cluster: the watcher, and all that it works with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import torch

from msflow_stream.config.cameras import Camera, Cameras
from msflow_stream.config.engines import STREAMS
from msflow_stream.config.settings import EngineSettings
from msflow_stream.events.alerts.adoption import QUEUES
from msflow_stream.events.store.lease_keeper import LeaseKeeper
from msflow_stream.logs import Redactor
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.engine_choice import make_inference
from msflow_stream.scoring.inference import Inference
from msflow_stream.scoring.scorer import IN_FLIGHT
from msflow_stream.stream.contract import Limits
from msflow_stream.watch.camera_outputs import WatchOutputs
from msflow_stream.watch.event_router import EventRouter, secrets_of, store_url
from msflow_stream.watch.live_frames import LiveFrames
from msflow_stream.watch.report import WatchReport
from msflow_stream.watch.watcher import Watcher

from .supervisor import Supervisor
from .teaching_round import TeachingRound
from .terminal.log_setup import LogKind

log = logging.getLogger(__name__)

STOP_SECONDS, CLOSE_SECONDS, ROUTER_SECONDS = 5.0, 2.5, 1.5  # of the 10 s of a stop: frames on their way, files, alerts


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
        console: host and port of the console; None for none.
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
    console: tuple[str, int] | None = None
    logs: LogKind = "text"
    table: bool = True
    engine: EngineSettings = field(default_factory=EngineSettings)
    scene_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class MachineWatch:
    """What watches cameras in one process.

    Attributes:
        watcher: its cameras, which are watched while its runner is entered.
        router: where their events go.
        frames: the newest frame of each.
        cache: the scenes.
        inference: runs their networks.
        supervisor: looks after what is learnt; to be entered.
    """

    watcher: Watcher
    router: EventRouter
    frames: LiveFrames
    cache: SceneCache
    inference: Inference
    supervisor: Supervisor

    def report(self) -> WatchReport:
        """Returns how everything is doing now."""
        return replace(self.supervisor.seen(self.watcher.report()), alerts=self.router.report())

    def follow(self, file: Cameras, cameras: Mapping[str, Camera]) -> None:
        """Follows a cameras file that was read again, of which these cameras are watched here; tries again what failed.

        Raises:
            UserError: it cannot be used; nothing was changed.
        """
        self.reroute(file, cameras)
        self.watcher.teaching = file.teaching
        self.watcher.reload(cameras)
        self.supervisor.try_again()

    def reroute(self, file: Cameras, cameras: Mapping[str, Camera]) -> None:
        """Has events of these cameras go where a cameras file says.

        Raises:
            UserError: as `EventRouter.reroute`.
        """
        self.router.reroute(_only(file, cameras))

    def watch(self) -> None:
        """Watches until the runner has ended; then what is open is finished."""
        try:
            with self.watcher.runner:
                self.watcher.start()
                log.info("cameras watched: %d", len(self.watcher.report().cameras))
                self.watcher.runner.join()
        finally:
            log.info("stopping: what is open is finished")
            self.watcher.close(CLOSE_SECONDS)


@contextmanager
def machine_watch(
    job: WatchJob,
    file: Cameras,
    *,
    watched: Mapping[str, Camera] | None = None,
    node: Path | None = None,
    everyone: Callable[[], Mapping[str, Camera]] | None = None,
    keeper: LeaseKeeper | None = None,
) -> Iterator[MachineWatch]:
    """Yields what watches the cameras of a file, ready to begin.

    Args:
        job: the settings.
        file: the cameras file.
        watched: those of its cameras that are watched at first; None: all of them, and no others.
        node: folder of what belongs to one node of several that write to one folder; None where there is only one.
        everyone: returns the cameras of all nodes; None: those that are watched here.
        keeper: has the leases of the cameras, where several nodes watch.

    Raises:
        UserError: a scene, store or alert that cannot be used.
    """
    out = job.written.out
    cameras = file.cameras if watched is None else watched
    queues = None if node is None else node / QUEUES
    mark = None if keeper is None else keeper.mark
    router = EventRouter(_only(file, cameras), out, Random(), queues=queues, mark=mark)
    try:
        alone = watched is None and len(cameras) == 1  # then only its newest frame waits
        inference = make_inference(job.engine, capacity_bytes=job.scene_bytes, streams=1 if alone else STREAMS)
        cache, frames = SceneCache(job.scenes, job.device, inference.prepare), LiveFrames()
        watcher = Watcher(
            cameras,
            scenes=cache,
            outputs=job.written,
            router=router,
            random=Random(),
            limits=Limits(batch=job.batch, scorers=_scorers(cache.device, file)),
            inference=inference,
            frames=frames,
            stays=job.console is not None or watched is not None,
            holds=(lambda camera: True) if keeper is None else keeper.holds,
        )
        watcher.teaching = file.teaching
        teaching = TeachingRound(store_url(file, out), out, job.scenes, job.device, watcher, everyone)
        yield MachineWatch(
            watcher=watcher,
            router=router,
            frames=frames,
            cache=cache,
            inference=inference,
            supervisor=Supervisor(watcher, job.scenes, job.device, teaching),
        )
    finally:
        router.close(ROUTER_SECONDS)


def _only(file: Cameras, cameras: Mapping[str, Camera]) -> Cameras:
    """Returns a cameras file with these cameras alone: what is told of cameras is for who watches them."""
    return file.model_copy(update={"cameras": dict(cameras)})


def _scorers(device: torch.device, file: Cameras) -> int:
    """A GPU gets the next batch while the scores of the last are looked at; what skips frames wants them in order."""
    gated = any(camera.skip_static for camera in file.cameras.values())
    return 1 if device.type == "cpu" or gated else IN_FLIGHT


def hide_secrets(redactor: Redactor, file: Cameras) -> None:
    """Hides from now on what the cameras file holds of credentials."""
    redactor.add_credentials(urls_of(file))
    redactor.add(secrets_of(file))


def urls_of(file: Cameras) -> list[str]:
    """Returns all addresses, which may hold credentials."""
    urls = [camera.url for camera in file.cameras.values()]
    urls += [camera.restream for camera in file.cameras.values() if camera.restream is not None]
    return [url.get_secret_value() for url in [*urls, *([] if file.store is None else [file.store])]]
