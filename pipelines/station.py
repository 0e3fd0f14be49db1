"""One camera of a watch: where its frames come from, which scene they are compared with, and what is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from msflow_stream.areas import area_mask
from msflow_stream.bank import SceneBank
from msflow_stream.cameras import Camera
from msflow_stream.events.rows import RowMaker
from msflow_stream.health.report import CameraReport
from msflow_stream.results import ScoreRow
from msflow_stream.scene import Scene
from msflow_stream.scorer import Asked
from msflow_stream.stream.counters import SourceCounts
from msflow_stream.stream.engine import Engine
from msflow_stream.stream.feed import Feed
from msflow_stream.types import Frame, FrameScore
from msflow_stream.video.faults import Fault
from msflow_stream.video.file_camera import FileCamera, is_file
from msflow_stream.video.live_options import LiveOptions
from msflow_stream.video.states import State
from msflow_stream.video.supervisor import Supervisor
from pipelines.camera_outputs import CameraOutputs, Written
from pipelines.outputs import overlay_style

log = logging.getLogger(__name__)

USUAL_RATE = 25.0  # frames a second, until more is known


class View:
    """A scene as one camera looks at it: the areas that count, its rows, and the look of its overlay."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        self.scene, self.settings = scene, scene.settings.score
        self.area = area_mask(camera.watch, camera.ignore, scene.settings.input.size)
        self.rows = RowMaker(self.settings, scene.calibration)
        self.style = overlay_style(scene.calibration, self.settings)


class Station:
    """Runs one camera, from `start` until the engine says that its source has ended, and then `close`.

    Args:
        name, camera: from the cameras file.
        bank: where the scenes are.
        written: what is written of it.
        random: for the jitter of its waits.

    Raises:
        UserError: a scene that cannot be loaded, or areas that leave nothing to watch.
    """

    def __init__(self, name: str, camera: Camera, bank: SceneBank, written: Written, random: Random) -> None:
        self.name, self.camera = name, camera
        self._bank = bank
        self._last: tuple[ScoreRow | None, datetime | None] = (None, None)
        self._views = {scene: View(bank.get(scene), camera) for scene in camera.scenes}
        self._scene = camera.scene_at(datetime.now().time())
        self._written, self._random = written, random
        self._outputs: CameraOutputs | None = None
        self._reader = self._make_reader(random)
        self._feed: Feed | None = None

    def _make_reader(self, random: Random) -> FileCamera | Supervisor:
        url, options = self.camera.url.get_secret_value(), LiveOptions.of(self.camera)
        if is_file(url):
            return FileCamera(url, name=self.name, options=options)
        return Supervisor(url, self._put, random=random, name=self.name, options=options, ended=self._ended)

    def start(self, engine: Engine) -> bool:
        """Begins to read; False if the engine takes no more sources."""
        restream = None if self.camera.restream is None else self.camera.restream.get_secret_value()
        self._outputs = CameraOutputs(self.name, USUAL_RATE / self.camera.every, self._written, restream, self._random)
        reader = self._reader
        if isinstance(reader, FileCamera):
            return engine.add(self.name, reader.frames(), interrupt=reader.ask_to_stop)
        self._feed = engine.attach(self.name, reader.ask_to_stop)
        if self._feed is None:
            return False
        reader.start()
        return True

    def _put(self, frame: Frame) -> bool:
        assert self._feed is not None
        return self._feed.put(frame)

    def _ended(self, error: BaseException | None) -> None:
        assert self._feed is not None
        self._feed.close(error if isinstance(error, Exception) else None)

    def asked(self, frame: Frame) -> Asked:
        """What is to be scored of a frame: it is compared with the scene of the time of day."""
        moment = (frame.wall or datetime.now(UTC)).astimezone().time()
        scene = self._bank.get(self.camera.scene_at(moment))
        if scene.name != self._scene:
            log.info("%s: compared with scene %s from now on", self.name, scene.name)
            self._scene = scene.name
        if self._views[scene.name].scene is not scene:  # it was fitted again
            self._views[scene.name] = View(scene, self.camera)
        view = self._views[scene.name]
        return Asked(frame, scene, view.settings, view.area)

    def take(self, frame: Frame, score: FrameScore) -> None:
        """Writes a scored frame."""
        assert self._outputs is not None
        view = self._views[score.scene]
        row = view.rows(score)
        self._last = row, frame.wall
        self._outputs.take(frame, score, row, view.style)

    def report(self, counts: SourceCounts | None, failure: str | None) -> CameraReport:
        """How it is doing: `counts` are the engine's, `failure` is why it is watched no longer."""
        status, (last, wall) = self._reader.status(), self._last
        if failure is not None and status.state is not State.FAILED:
            status = replace(status, state=State.FAILED, reason=failure, fault=status.fault or Fault.BUG)
        return CameraReport(self.name, self._scene, status, counts, last, wall, self.lost)

    @property
    def lost(self) -> Mapping[str, int]:
        """What could not be written, by "sink:cause"."""
        return {} if self._outputs is None else self._outputs.lost

    def close(self, timeout: float) -> None:
        """Lets what was written be finished, within so many seconds."""
        self._reader.ask_to_stop()
        if self._outputs is not None:
            self._outputs.close(timeout)


def scenes_of(cameras: Mapping[str, Camera]) -> list[str]:
    """All scenes that any of them needs."""
    return sorted({scene for camera in cameras.values() for scene in camera.scenes})
