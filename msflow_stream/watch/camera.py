"""One camera of a watch: where its frames come from, which scene they are compared with, and what is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from msflow_stream.config.cameras import Camera
from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.score_rows import ScoreRows
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.events.evidence.event_folder import EVIDENCE_FOLDER
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.events.evidence.settings import EvidenceSettings
from msflow_stream.events.evidence.thread import ThreadedEvidence
from msflow_stream.scenes.calibration import overlay_style
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.scorer import ScoreRequest
from msflow_stream.scoring.static_gate import StaticGate
from msflow_stream.series import ScoreSmoother
from msflow_stream.stream.counters import SourceCounts
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.stream.source_feed import SourceFeed
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.packets.packet_ring import PacketRing
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.camera_events import CameraEvents, EventCallback
from msflow_stream.watch.camera_outputs import CameraOutputs, WatchOutputs
from msflow_stream.watch.file_camera import FileCamera, is_file
from msflow_stream.watch.report import CameraReport

log = logging.getLogger(__name__)

USUAL_RATE = 25.0  # frames a second, until more is known


class CameraScene:
    """A scene as one camera looks at it: the areas that count, its rows and events, and the look of its overlay."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        self.scene, self.settings = scene, scene.settings.score
        self.area = area_mask(camera.watch, camera.ignore, scene.settings.input.size)
        self.smoother = ScoreSmoother(self.settings.smoothing)
        self.rows = ScoreRows(self.settings, scene.calibration)
        self.style = overlay_style(scene.calibration, self.settings)
        self.detector = EventDetector(
            triggers_of(scene.settings.event, self.settings, scene.calibration),
            scene.settings.event,
            smoothing=self.settings.smoothing,
            level=self.style.middle,
            size=(1, 1),  # until a picture comes
        )


class WatchedCamera:
    """Runs one camera, from `start` until the engine says that its source has ended, and then `close`.

    Args:
        name, camera: from the cameras file.
        bank: where the scenes are.
        written: what is written of it.
        random: for the jitter of its waits.
        publish: told of its events.

    Attributes:
        gate: tells which of its frames need no score of their own; None where each gets one.

    Raises:
        UserError: a scene that cannot be loaded, or areas that leave nothing to watch.
    """

    def __init__(
        self, name: str, camera: Camera, bank: SceneCache, written: WatchOutputs, random: Random, publish: EventCallback
    ) -> None:
        self.name, self.camera = name, camera
        self._bank, self._publish = bank, publish
        self._last: tuple[ScoreRow | None, datetime | None] = (None, None)
        self._views = {scene: CameraScene(bank.get(scene), camera) for scene in camera.scenes}
        self._scene = camera.scene_at(datetime.now().time())
        self._written, self._random = written, random
        self.gate = StaticGate() if camera.skip_static else None
        self._outputs: CameraOutputs | None = None
        self._events: CameraEvents | None = None
        self._evidence = EvidenceSettings(rate_hint=USUAL_RATE / camera.every)
        self._packets: PacketRing | None = None
        self._reader = self._make_reader(random)
        self._feed: SourceFeed | None = None

    def _make_reader(self, random: Random) -> FileCamera | CameraReader:
        url = self.camera.url.get_secret_value()
        if is_file(url):
            return FileCamera(url, name=self.name, settings=self.camera)
        self._packets = PacketRing(self._evidence.memory_seconds, name=self.name) if self._written.evidence else None
        return CameraReader(
            url,
            self._put,
            random=random,
            name=self.name,
            settings=self.camera,
            ended=self._ended,
            packets=self._packets,
        )

    def start(self, engine: StreamRunner) -> bool:
        """Begins to read; False if the engine takes no more sources."""
        restream = None if self.camera.restream is None else self.camera.restream.get_secret_value()
        self._outputs = CameraOutputs(self.name, USUAL_RATE / self.camera.every, self._written, restream, self._random)
        self._events = CameraEvents(self.name, self._written.out / self.name, self._publish, self._keep_evidence())
        reader = self._reader
        if isinstance(reader, FileCamera):
            return engine.add(self.name, reader, interrupt=reader.ask_to_stop)
        self._feed = engine.attach(self.name, reader.ask_to_stop)
        if self._feed is None:
            return False
        reader.start()
        return True

    def _keep_evidence(self) -> ThreadedEvidence | None:
        if not self._written.evidence:
            return None
        reader, packets = self._reader, self._packets
        if isinstance(reader, FileCamera):
            packets = FilePackets.of(self.camera.url.get_secret_value(), self._evidence.memory_seconds)
        writer = EvidenceWriter(
            self._written.out / self.name / EVIDENCE_FOLDER,
            self._views[self._scene].style,
            packets=packets,
            settings=self._evidence,
            retention=self._written.retention,
            is_kept=self._written.is_kept,
        )
        return ThreadedEvidence(writer, self.name, lossless=isinstance(reader, FileCamera))

    def _put(self, frame: Frame) -> bool:
        assert self._feed is not None
        return self._feed.put(frame)

    def _ended(self, error: BaseException | None) -> None:
        assert self._feed is not None
        self._feed.close(error if isinstance(error, Exception) else None)

    def asked(self, frame: Frame) -> ScoreRequest:
        """What is to be scored of a frame: it is compared with the scene of the time of day."""
        moment = (frame.wall or datetime.now(UTC)).astimezone().time()
        scene = self._bank.get(self.camera.scene_at(moment))
        if scene.name != self._scene:
            log.info("%s: compared with scene %s from now on", self.name, scene.name)
            self._scene = scene.name
        if self._views[scene.name].scene is not scene:  # it was fitted again
            self._views[scene.name] = CameraScene(scene, self.camera)
        view = self._views[scene.name]
        return ScoreRequest(frame, scene, view.settings, view.area)

    def take(self, frame: Frame, score: FrameScore) -> None:
        """Writes a scored frame."""
        assert self._outputs is not None
        assert self._events is not None
        view = self._views[score.scene]
        scored = view.smoother(score)
        row = view.rows.row(scored)
        self._last = row, frame.wall
        self._outputs.write(frame, score, row, view.style)
        self._events.take(view.detector, view.style, frame, scored, row)

    def report(self, counts: SourceCounts | None, failure: str | None) -> CameraReport:
        """How it is doing: `counts` are the engine's, `failure` is why it is watched no longer."""
        status, (last, wall) = self._reader.status(), self._last
        if failure is not None and status.state is not State.FAILED:
            status = replace(status, state=State.FAILED, reason=failure, fault=status.fault or Fault.BUG)
        reused = 0 if self.gate is None else self.gate.reused
        return CameraReport(self.name, self._scene, status, counts, last, wall, self.lost, reused)

    @property
    def lost(self) -> Mapping[str, int]:
        """What could not be written, by "sink:cause"."""
        events = {} if self._events is None else {f"evidence:{cause}": n for cause, n in self._events.losses.items()}
        return events if self._outputs is None else {**self._outputs.lost, **events}

    def close(self, timeout: float) -> None:
        """Lets what was written be finished, within so many seconds."""
        self._reader.ask_to_stop()
        if self._events is not None:
            self._events.close(timeout / 2)
        if self._outputs is not None:
            self._outputs.close(timeout / 2)


def scenes_of(cameras: Mapping[str, Camera]) -> list[str]:
    """All scenes that any of them needs."""
    return sorted({scene for camera in cameras.values() for scene in camera.scenes})
