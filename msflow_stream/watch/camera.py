"""One camera of a watch: the source of its frames, the scene that they are compared with, and what is written."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Lock

from msflow_stream.config.cameras import Camera
from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.score_rows import ScoreRows
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_folder import EVIDENCE_FOLDER
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.events.evidence.thread import ThreadedEvidence
from msflow_stream.scenes.calibration import overlay_style
from msflow_stream.scenes.card_frames import card_of
from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scenes.folder import fit_identity, read_record, scene_folder
from msflow_stream.scenes.footage_facts import hide_in_view
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.scorer import ScoreRequest
from msflow_stream.scoring.static_gate import StaticGate
from msflow_stream.series import ScoreSmoother
from msflow_stream.stream.counters import SourceCounts
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.stream.source_feed import SourceFeed
from msflow_stream.teaching.learning import LearningRecord, phase_of
from msflow_stream.types import Frame, FrameScore, ScoreRow
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.packets.packet_ring import PacketRing
from msflow_stream.video.privacy import PrivacyAreas
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.calibration_run import CalibrationRun
from msflow_stream.watch.camera_events import CameraEvents
from msflow_stream.watch.camera_outputs import CameraOutputs, WatchOutputs
from msflow_stream.watch.drift_look import DriftLook
from msflow_stream.watch.event_router import EventRouter
from msflow_stream.watch.excepting import Excepting
from msflow_stream.watch.file_camera import FileCamera, is_file
from msflow_stream.watch.live_frames import LiveCamera, LiveFrames
from msflow_stream.watch.outputs.activity import ActivityLog, WatchedAs
from msflow_stream.watch.outputs.day_log import DayLog
from msflow_stream.watch.replay.floors import lowest_triggers
from msflow_stream.watch.report import CameraReport
from msflow_stream.watch.shadowing import Shadows

log = logging.getLogger(__name__)

USUAL_RATE = 25.0  # frames a second, until more is known


class CameraScene:
    """A scene as one camera looks at it: the areas that count, its rows and events, and the look of its overlay."""

    def __init__(self, scene: Scene, name: str, camera: Camera, folder: Path) -> None:
        """Prepares; `name` is the camera's, `folder` the scene's."""
        self.scene, self.settings = scene, scene.settings.score
        self.area = area_mask(camera.watch, camera.ignore, scene.settings.input.size)
        self.smoother = ScoreSmoother(self.settings.smoothing)
        self.rows = ScoreRows(self.settings, scene.calibration)
        self.style = overlay_style(scene.calibration, self.settings)
        triggers = triggers_of(scene.settings.event, self.settings, scene.calibration)
        self.detector = EventDetector(
            triggers,
            scene.settings.event,
            smoothing=self.settings.smoothing,
            level=self.style.middle,
            size=(1, 1),  # until a frame comes
        )
        self.watched = WatchedAs(
            scene=scene.name,
            fit=fit_identity(read_record(folder)),
            area=json.dumps({"watch": camera.watch, "ignore": camera.ignore}),
            kind=self.settings.kind,
            smoothing=self.settings.smoothing,
            level=self.style.middle,
            settings=scene.settings.event,
            lowest=lowest_triggers(folder, scene.settings, triggers),
        )
        self.excepting = Excepting(folder, name, scene, self.watched.lowest, self.style)
        self.calibration = self._calibrating(folder)
        if self.calibration is not None:
            self.rows.threshold = math.inf  # nothing is an alarm before it is known what is usual

    def _calibrating(self, folder: Path) -> CalibrationRun | None:
        """Returns what collects the scores that the thresholds are made of; None where there are thresholds."""
        record = LearningRecord.read(folder)
        if record is None or phase_of(folder) != "calibrating":
            return None
        return CalibrationRun(folder, self.watched.fit, record)


class WatchedCamera:
    """One camera, from `start` until the stream says that its source has ended, and then `close`.

    A frame's way: the reader puts it into the queue of the source feed, `request` says what is to be scored of it, and
    `write` writes it with its score.

    Attributes:
        gate: tells which of its frames need no score of their own; None where each gets one.
    """

    def __init__(
        self,
        name: str,
        camera: Camera,
        *,
        scenes: SceneCache,
        outputs: WatchOutputs,
        router: EventRouter,
        random: Random,
        frames: LiveFrames | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        """Prepares; nothing is read or written before `start`.

        Args:
            name, camera: as the cameras file has them.
            scenes: the scenes of the watch.
            outputs: the settings of what is written of it.
            router: the router that its events go to.
            random: the source of the jitter of its waits.
            frames: has its newest frame, for who looks.
            shadows: has a share of its frames, for candidates of its scenes.

        Raises:
            UserError: a scene that cannot be loaded, or areas that leave nothing to watch.
        """
        self.name, self.camera = name, camera
        self._scenes, self._settings, self._router, self._random = scenes, outputs, router, random
        self._privacy = PrivacyAreas(camera.privacy) if camera.privacy else None
        self._views = {scene: self._view(scene) for scene in camera.scenes}
        self._changing = Lock()  # of scene and views
        self._scene = camera.scene_at(datetime.now().time())  # the one that it is compared with
        self.gate = StaticGate() if camera.skip_static else None
        self._evidence = evidence_settings(camera)
        self._packets: PacketRing | None = None
        self._reader = self._make_reader()
        self._source_feed: SourceFeed | None = None
        self._outputs: CameraOutputs | None = None
        self._events: CameraEvents | None = None
        self._frames, self._shadows = frames, shadows
        self._live: LiveCamera | None = None
        self._activity: ActivityLog | None = None
        self._days: DayLog | None = None  # a file is no day of a camera
        self._drift = DriftLook(outputs.out / name, lambda since: router.labels(name, since))
        self._last: tuple[ScoreRow | None, datetime | None] = (None, None)

    def _view(self, scene: str) -> CameraScene:
        folder = scene_folder(self._scenes.folder, scene)
        if self._privacy is not None:
            with suppress(OSError):  # of a scene that is read-only
                hide_in_view(folder, self._privacy)
        return CameraScene(self._scenes.get(scene), self.name, self.camera, folder)

    def _make_reader(self) -> FileCamera | CameraReader:
        url, card = self.camera.url.get_secret_value(), card_of(self._scenes.device)
        if is_file(url):
            return FileCamera(url, name=self.name, settings=self.camera, card=card)
        if self._settings.evidence and self._privacy is None:  # packets show what is in the areas
            self._packets = PacketRing(self._evidence.memory_seconds, name=self.name)
        return CameraReader(
            url,
            self._put,
            random=self._random,
            name=self.name,
            settings=self.camera,
            ended=self._ended,
            packets=self._packets,
            card=card,
        )

    def start(self, runner: StreamRunner) -> bool:
        """Begins to read; False if the stream takes no more sources."""
        restream = None if self.camera.restream is None else self.camera.restream.get_secret_value()
        rate, folder = USUAL_RATE / self.camera.every, self._settings.out / self.name
        self._outputs = CameraOutputs(self.name, rate, self._settings, restream, self._random)
        self._events = CameraEvents(self.name, folder, self._router, self._open_evidence(folder))
        if self._frames is not None:
            self._live = self._frames.open(self.name)
        reader = self._reader
        self._activity = ActivityLog(
            folder, self.name, lossless=isinstance(reader, FileCamera), keep_days=self._settings.keep_days
        )
        if isinstance(reader, FileCamera):
            return runner.add(self.name, reader, interrupt=reader.ask_to_stop)
        self._days = DayLog(folder, self.name, lambda scene: self._drift(scene_folder(self._scenes.folder, scene)))
        self._source_feed = runner.attach(self.name, reader.ask_to_stop)
        if self._source_feed is None:
            return False
        reader.start()
        return True

    def _open_evidence(self, folder: Path) -> ThreadedEvidence | None:
        if not self._settings.evidence:
            return None
        reader, packets = self._reader, self._packets
        if isinstance(reader, FileCamera) and self._privacy is None:
            packets = FilePackets.of(self.camera.url.get_secret_value(), self._evidence.memory_seconds)
        writer = EvidenceWriter(
            folder / EVIDENCE_FOLDER,
            self._views[self._scene].style,
            packets=packets,
            settings=self._evidence,
            retention=self._settings.retention,
            is_kept=self._router.is_kept,
        )
        return ThreadedEvidence(writer, self.name, lossless=isinstance(reader, FileCamera))

    def _put(self, frame: Frame) -> bool:
        assert self._source_feed is not None
        return self._source_feed.put(frame)

    def request(self, frame: Frame) -> ScoreRequest:
        """Returns what is to be scored of a frame: it is compared with the scene of the time of day."""
        moment = (frame.wall or datetime.now(UTC)).astimezone().time()
        scene = self._scenes.get(self.camera.scene_at(moment))
        with self._changing:  # two batches may be scored at a time
            if scene.name != self._scene:
                log.info("%s: compared with scene %s from now on", self.name, scene.name)
                self._scene = scene.name
            before = self._views[scene.name]
            if before.scene is not scene:  # it was fitted or calibrated again
                self._views[scene.name] = self._view(scene.name)
                if before.calibration is not None:
                    before.calibration.close()
            view = self._views[scene.name]
        return ScoreRequest(frame, scene, view.settings, view.area)

    def write(self, frame: Frame, score: FrameScore | None) -> None:
        """Writes a scored frame: its row, its images, and the event that it belongs to.

        While the scene is calibrated there are no events: its scores are collected instead.
        """
        assert score is not None
        assert self._outputs is not None
        assert self._events is not None
        assert self._activity is not None
        view = self._views[score.scene]
        counted = view.excepting(score)
        scored = view.smoother(counted)
        row = replace(view.rows.row(scored), scores=score.scores)
        self._last = row, frame.wall
        shown, drawn = frame, counted
        if self._privacy is not None:
            shown, drawn = self._privacy.shown(frame), self._privacy.drawn(counted, frame.shape)
        if self._live is not None:
            self._live.write(shown, drawn, row, view.style, view.settings.kind)
        self._outputs.write(shown, drawn, row, view.style)
        if view.calibration is not None:
            view.calibration.add(score)
            return
        self._events.write(shown, drawn, scored, row, view.style, view.detector)
        self._activity.write(shown, scored, view.watched)
        if self._days is not None:
            self._days.write(frame, shown, scored, row, view.watched)
        if self._shadows is not None:
            self._shadows.offer(self.name, self.camera, frame, shown, counted, view.scene)

    def _ended(self, error: BaseException | None) -> None:
        assert self._source_feed is not None
        self._source_feed.close(error if isinstance(error, Exception) else None)

    def close(self, timeout: float) -> None:
        """Lets what was written be finished, within so many seconds."""
        self._reader.ask_to_stop()
        for view in self._views.values():
            if view.calibration is not None:
                view.calibration.close()
        if self._events is not None:
            self._events.close(timeout / 2)
        if self._activity is not None:
            self._activity.close(timeout / 8)
        if self._days is not None:
            self._days.close(timeout / 8)
        if self._outputs is not None:
            self._outputs.close(timeout / 4)

    def report(self, counts: SourceCounts | None, failure: str | None) -> CameraReport:
        """Returns how it is doing: `counts` are the stream's, `failure` is why it is watched no longer."""
        status, (last, wall) = self._reader.status(), self._last
        if failure is not None and status.state is not State.FAILED:
            status = replace(status, state=State.FAILED, reason=failure, fault=status.fault or Fault.BUG)
        reused = 0 if self.gate is None else self.gate.reused
        kind = self._views[self._scene].settings.kind
        event = None if self._events is None else self._events.open_event
        found = CameraReport(
            self.name, self._scene, status, counts, last, wall, self.losses, reused, kind=kind, event=event
        )
        found = replace(found, drift=self._drift.kinds)
        run = self._views[self._scene].calibration
        if run is None:
            return found
        return replace(found, phase="calibrating", phase_done=min(run.seconds, run.wanted), phase_of=run.wanted)

    @property
    def losses(self) -> Mapping[str, int]:
        """The number of things that could not be written, by "sink:cause"."""
        found: dict[str, int] = {} if self._outputs is None else dict(self._outputs.losses)
        for name, one in (("evidence", self._events), ("activity", self._activity), ("days", self._days)):
            if one is not None:
                found |= {f"{name}:{cause}": n for cause, n in one.losses.items()}
        return found


def evidence_settings(camera: Camera) -> EvidenceSettings:
    """Returns how much is kept of a camera's events."""
    settings = EvidenceSettings(rate_hint=USUAL_RATE / camera.every)
    return replace(settings, no_packets="the camera has privacy areas") if camera.privacy else settings


def is_learning(camera: Camera, scenes: Path) -> bool:
    """Returns whether the scene of a camera is still to be learnt."""
    return camera.learn is not None and not scene_exists(scene_folder(scenes, camera.scene_name))


def scenes_of(cameras: Mapping[str, Camera], scenes: Path) -> list[str]:
    """Returns the names of all scenes that any of the cameras needs, but those that are to be learnt."""
    return sorted({scene for camera in cameras.values() if not is_learning(camera, scenes) for scene in camera.scenes})
