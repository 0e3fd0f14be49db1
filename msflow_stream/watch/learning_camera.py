"""One camera of a watch whose scene is still to be learnt: its packets are recorded, its frames shown, none scored."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from threading import Lock

import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msflow_stream.config.cameras import Camera
from msflow_stream.files import make_folder
from msflow_stream.logs import Outage
from msflow_stream.scenes.exchange import scene_exists
from msflow_stream.scoring.scorer import ScoreRequest
from msflow_stream.stream.counters import SourceCounts
from msflow_stream.stream.runner import StreamRunner
from msflow_stream.stream.source_feed import SourceFeed
from msflow_stream.teaching.layout import FOOTAGE, learn_folder
from msflow_stream.teaching.learning import LearningRecord, Phase, phase_of
from msflow_stream.types import Frame, FrameScore, ScoreRow, Scores, UserError
from msflow_stream.video.cards import Card
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import State
from msflow_stream.video.packets.footage import Footage
from msflow_stream.video.packets.footage_recorder import FootageRecorder
from msflow_stream.video.privacy import PrivacyAreas
from msflow_stream.watch.file_camera import is_file
from msflow_stream.watch.live_frames import LiveCamera, LiveFrames
from msflow_stream.watch.report import CameraReport

log = logging.getLogger(__name__)

UNSCORED = Scores(*[math.nan] * len(Scores._fields))
NO_MAP = np.zeros((8, 8), np.float16)
PLAIN = OverlayStyle(low=1.0, high=2.0)


class LearningCamera:
    """One camera that learns, from `start` until the stream says that its source has ended, and then `close`.

    It has the face of a `WatchedCamera`, for the watcher, and `advance` besides, which moves it to its next phase.
    """

    gate = None

    def __init__(
        self,
        name: str,
        camera: Camera,
        *,
        scene: Path,
        card: Card | None,
        random: Random,
        frames: LiveFrames | None = None,
    ) -> None:
        """Prepares; nothing is read or written before `start`.

        Args:
            name, camera: as the cameras file has them.
            scene: the folder that its scene will have.
            card: the card of the scenes, for the decoder.
            random: the source of the jitter of its waits.
            frames: has its newest frame, for who looks.

        Raises:
            UserError: it is a file, which ends before anything could be watched.
        """
        url = camera.url.get_secret_value()
        if is_file(url):
            raise UserError(f"{name}: a file is no camera to learn from: `msflow-stream fit FILE --scene NAME` does")
        self.name, self.camera, self.scene = name, camera, scene
        self._record = LearningRecord.of(name, camera)
        self._privacy = PrivacyAreas(camera.privacy) if camera.privacy else None
        self._tap, self._changing = _Tap(), Lock()
        self._reader = CameraReader(
            url,
            self._put,
            random=random,
            name=name,
            settings=camera,
            ended=self._ended,
            packets=self._tap,
            card=card,
        )
        self._reader.observe(self._note)
        self._source_feed: SourceFeed | None = None
        self._frames = frames
        self._live: LiveCamera | None = None
        self._phase: Phase = phase_of(scene)
        self._seconds = self._record.learn  # of footage, once it is no longer recorded
        self._has_enough, self._trouble = False, Outage(log)

    @property
    def is_learnt(self) -> bool:
        """Whether its scene is there, so that it can be watched from now on."""
        return scene_exists(self.scene)

    @property
    def has_failed(self) -> bool:
        """Whether its scene could not be fitted."""
        return phase_of(self.scene) == "failed"

    def start(self, runner: StreamRunner) -> bool:
        """Begins to read; False if the stream takes no more sources.

        Raises:
            UserError: its footage cannot be kept.
        """
        footage = learn_folder(self.scene) / FOOTAGE
        make_folder(footage.parent)
        if self._phase == "failed":  # to be tried again, with the settings of now
            self._phase = "fitting"
        if self._phase == "fitting" and (
            (found := Footage.read(footage)) is None or found.seconds < self._record.learn
        ):
            self._phase = "learning"
        if self._phase == "learning":
            self._tap.recorder = FootageRecorder(footage, name=self.name)
            self._seconds = self._tap.recorder.seconds
        self._record.moved(self._phase).write(self.scene)
        if self._frames is not None:
            self._live = self._frames.open(self.name)
        self._source_feed = runner.attach(self.name, self._reader.ask_to_stop, sampled=_never)
        if self._source_feed is None:
            return False
        self._reader.start()
        return True

    def advance(self) -> None:
        """Looks whether there is enough footage, which is fitted then. Called now and then, by one thread."""
        if self._phase == "learning":
            if (recorder := self._tap.recorder) is not None:
                self._seconds = recorder.seconds
                self._has_enough = self._seconds >= self._record.learn
            if self._has_enough:
                self._move_to_fitting()
        elif self._phase == "fitting":
            self._phase = "failed" if phase_of(self.scene) == "failed" else "fitting"

    def _move_to_fitting(self) -> None:
        self._stop_recording()
        try:
            self._record.moved("fitting").write(self.scene)
        except OSError as error:
            self._trouble.begin(f"{self.name}: the fit waits, as its folder cannot be written to: {error.strerror}")
            return
        self._trouble.end(f"{self.name}: its folder can be written to again")
        self._phase = "fitting"
        log.info("%s: %.0f s of footage are recorded; they are fitted now", self.name, self._seconds)

    def _stop_recording(self) -> None:
        with self._changing:
            recorder, self._tap.recorder = self._tap.recorder, None
        if recorder is not None:
            recorder.close()

    def _put(self, frame: Frame) -> bool:
        assert self._source_feed is not None
        return self._source_feed.put(frame)

    def _note(self, *_: object) -> None:
        if (recorder := self._tap.recorder) is not None:
            recorder.note(self._reader.status().fault)

    def request(self, frame: Frame) -> ScoreRequest:
        """Refuses: there is nothing to compare a frame with."""
        raise UserError(f"{self.name} has no scene yet")

    def write(self, frame: Frame, score: FrameScore | None) -> None:
        """Shows a frame, and counts what it covers."""
        if (recorder := self._tap.recorder) is not None:
            recorder.add(frame)
        if self._live is not None:
            shown = frame if self._privacy is None else self._privacy.shown(frame)
            none = FrameScore(
                source=frame.source,
                scene=self.scene.name,
                index=frame.index,
                time=frame.time,
                wall=frame.wall,
                scores=UNSCORED,
                map=NO_MAP,
            )
            row = ScoreRow(frame.index, frame.time, UNSCORED, math.nan, math.inf, 0)
            self._live.write(shown, none, row, PLAIN, "combined")

    def _ended(self, error: BaseException | None) -> None:
        assert self._source_feed is not None
        self._stop_recording()  # before a successor opens the same folder
        self._source_feed.close(error if isinstance(error, Exception) else None)

    def close(self, timeout: float) -> None:
        """Ends what is recorded."""
        self._reader.ask_to_stop()
        self._stop_recording()

    def report(self, counts: SourceCounts | None, failure: str | None) -> CameraReport:
        """Returns how it is doing: `counts` are the stream's, `failure` is why it is read no longer."""
        status = self._reader.status()
        if failure is not None and status.state is not State.FAILED:
            status = replace(status, state=State.FAILED, reason=failure, fault=status.fault or Fault.BUG)
        recorder, text = self._tap.recorder, ""
        if recorder is not None:
            self._seconds = recorder.seconds
            text = "the disk is full" if recorder.disk_trouble else recorder.obstacle or ""
        elif self._phase == "failed" and (record := LearningRecord.read(self.scene)) is not None:
            text = record.reason
        return CameraReport(
            self.name,
            self.scene.name,
            status,
            counts,
            None,
            None,
            {},
            phase=self._phase,
            phase_done=self._seconds,
            phase_of=self._record.learn,
            phase_text=text,
        )

    @property
    def losses(self) -> Mapping[str, int]:
        """Nothing is written that could be lost."""
        return {}


class _Tap:
    """An observer that hands on to a recorder, as long as there is one."""

    def __init__(self) -> None:
        self.recorder: FootageRecorder | None = None

    def begin(self, stream: VideoStream, time_base: Fraction) -> None:
        """Notes that a connection begins."""
        if (recorder := self.recorder) is not None:
            recorder.begin(stream, time_base)

    def packet(self, packet: Packet[Stream]) -> None:
        """Notes a packet."""
        if (recorder := self.recorder) is not None:
            recorder.packet(packet)

    def frame(self, frame: VideoFrame, time: float) -> None:
        """Notes a frame."""
        if (recorder := self.recorder) is not None:
            recorder.frame(frame, time)


def _never(frame: Frame) -> bool:
    return False
