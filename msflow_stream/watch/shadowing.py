"""The candidates of a watch beside its scenes: a share of the live frames is scored with them too, when none waits."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Full, Queue
from time import monotonic

from msflow_stream.config.cameras import Camera
from msflow_stream.events.detection.detector import EventDetector
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.files import make_folder
from msflow_stream.scenes.calibration import overlay_style
from msflow_stream.scenes.folder import scene_folder
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.scorer import ScoreRequest, score_batch
from msflow_stream.series import ScoreSmoother
from msflow_stream.teaching.layout import candidate_folder
from msflow_stream.teaching.shadow import Compared, Moment, Shadow, candidate_identity, shadow_folder
from msflow_stream.teaching.versions import Versions
from msflow_stream.types import Frame, FrameScore, UserError
from msflow_stream.watch.areas import area_mask
from msflow_stream.watch.excepting import Excepting
from msflow_stream.watch.outputs.activity_file import thumbnail_of
from msflow_stream.watch.replay.floors import lowest_triggers

log = logging.getLogger(__name__)

EVERY = 5  # of the scored frames of a camera, so many are one for the candidate
LOOK_SECONDS, WRITE_SECONDS = 2.0, 5.0  # between two looks for candidates; between two writings
AGAIN_SECONDS = 10.0  # after something went wrong
PATIENCE, STEP = 1.0, 0.02  # seconds that a frame waits for a moment without others; between two looks for it
LONGEST_STEP = 15.0  # seconds between two frames that count as watched
BURST_SECONDS = 30.0  # between two images of a camera
NICENESS = 10


@dataclass(frozen=True, slots=True)
class Offer:
    """A frame that was scored with the live scene.

    Attributes:
        shown: the frame as it may be kept.
        counted: its score as it counts.
        live: the scene that it was scored with.
    """

    name: str
    camera: Camera
    frame: Frame
    shown: Frame
    counted: FrameScore
    live: Scene


class Shadows:
    """The candidates of all scenes of a watch. To be closed.

    Nothing of it is in the way of a frame: `offer` costs nothing to speak of, and all else is in a thread that lets
    others go first, uses the networks as they are, and scores only while no frame waits.

    Args:
        scenes: the scenes of the watch; candidates share their pyramids.
        busy: says whether frames wait, or are scored.
        promote: called with the folder of a scene now and then: it may promote its candidate.
        every: of so many scored frames of a camera, one is for the candidate.
    """

    def __init__(
        self,
        scenes: SceneCache,
        busy: Callable[[], bool],
        promote: Callable[[Path], None] = lambda scene: None,
        every: int = EVERY,
    ) -> None:
        self._scenes, self._busy, self._promote, self._every = scenes, busy, promote, every
        self._seen: Counter[str] = Counter()
        self._offers: Queue[Offer] = Queue(1)
        self._names: frozenset[str] = frozenset()  # of the scenes of cameras
        self._beside: dict[str, Beside] = {}
        self._later: dict[str, float] = {}  # when to try again
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._starting = threading.Lock()

    def offer(self, name: str, camera: Camera, frame: Frame, shown: Frame, counted: FrameScore, live: Scene) -> None:
        """Takes a scored frame of a camera, or not."""
        if not self._thread.is_alive() and not self._start():
            return
        if counted.scene not in self._names:
            self._names |= {counted.scene}
        if counted.scene not in self._beside:
            return
        self._seen[name] += 1
        if self._seen[name] % self._every == 0:
            with suppress(Full):  # it is busy with another
                self._offers.put_nowait(Offer(name, camera, frame, shown, counted, live))

    def _start(self) -> bool:
        with self._starting:
            if self._closing.is_set() or self._thread.ident is not None:
                return False
            self._thread.start()
            return True

    def _run(self) -> None:
        with suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        looked = written = -LOOK_SECONDS
        known: frozenset[str] = frozenset()
        while not self._closing.is_set():
            try:
                if monotonic() - looked >= LOOK_SECONDS or self._names != known:
                    looked, known = monotonic(), self._names
                    self._look(known)
                with suppress(Empty):
                    self._follow(self._offers.get(timeout=1.0))
                if monotonic() - written >= WRITE_SECONDS:
                    written = monotonic()
                    self._write()
                    self._judge()
            except Exception:
                log.exception("a candidate cannot be compared with its scene")
                self._closing.wait(AGAIN_SECONDS)
        self._write()

    def _look(self, names: Collection[str]) -> None:
        """Takes up new candidates of scenes, and lets go of those that are none any more."""
        for name in names:
            folder = scene_folder(self._scenes.folder, name)
            identity, before = candidate_identity(folder), self._beside.get(name)
            if before is not None and before.identity == identity:
                continue
            self._beside.pop(name, None)
            if identity is None or monotonic() < self._later.get(name, 0.0):
                continue
            try:
                scene = self._scenes.load_beside(name, candidate_folder(folder))
            except UserError as error:  # it is on its way in or out
                self._later[name] = monotonic() + AGAIN_SECONDS
                log.warning("the candidate of scene %s cannot be compared: %s", name, error)
                continue
            self._beside[name] = Beside(folder, scene, identity)
            log.info("%s: its candidate is compared with it on live frames", name)

    def _follow(self, offer: Offer) -> None:
        beside = self._beside.get(offer.counted.scene)
        if beside is None or not self._is_quiet():
            return
        beside.add(offer)

    def _is_quiet(self) -> bool:
        end = monotonic() + PATIENCE
        while self._busy():
            if monotonic() > end or self._closing.wait(STEP):
                return False
        return True

    def _write(self) -> None:
        for beside in list(self._beside.values()):
            try:
                beside.write()
            except OSError as error:
                log.warning("%s: what its candidate says cannot be written: %s", beside.folder.name, error.strerror)

    def _judge(self) -> None:
        for beside in list(self._beside.values()):
            try:
                self._promote(beside.folder)
            except UserError as error:
                log.warning("%s: its candidate is not promoted: %s", beside.folder.name, error)

    def close(self, timeout: float = 2.0) -> None:
        """Ends it; twice is fine."""
        with self._starting:
            self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)


class Beside:
    """A candidate beside its scene; goes on where an earlier run of the watch stopped.

    Args:
        folder: the folder of the live scene.
        scene: the candidate.
        identity: tells it from others.
    """

    def __init__(self, folder: Path, scene: Scene, identity: str) -> None:
        self.folder, self.identity, self._scene = folder, identity, scene
        self._shadow = Shadow.read(folder) or Shadow.begin(identity)
        self._written = self._shadow
        self._pairs: dict[str, _Pair] = {}

    def add(self, offer: Offer) -> None:
        """Scores a frame, and compares."""
        pair = self._pairs.get(offer.name)
        if pair is None or pair.live is not offer.live or pair.camera is not offer.camera:
            pair = self._pairs[offer.name] = _Pair(self.folder, offer, self._scene)
        counts, differs = pair.compare(offer, self._shadow.cameras.get(offer.name, Compared()))
        moment = None
        if differs is not None:
            moment = Moment(offer.name, offer.frame.wall or datetime.now(UTC), *differs, self._image(offer, pair))
            moment = moment if moment.jpeg is not None else None
        self._shadow = self._shadow.with_camera(offer.name, counts, moment)

    def _image(self, offer: Offer, pair: _Pair) -> str | None:
        """Keeps a small image of a frame; None where there was one shortly before."""
        if 0 <= offer.frame.time - pair.shown < BURST_SECONDS:
            return None
        pair.shown = offer.frame.time
        folder, name = (
            shadow_folder(self.folder),
            f"{offer.name}-{offer.frame.index}-{int(datetime.now().timestamp())}.jpg",
        )
        try:
            make_folder(folder)
            (folder / name).write_bytes(thumbnail_of(offer.shown.pixels))
        except (OSError, UserError):
            return None
        return name

    def write(self) -> None:
        """Writes what is new."""
        if self._shadow is not self._written:
            self._written = self._shadow
            self._shadow.write(self.folder)


class _Pair:
    """The live scene and its candidate at one camera, judged in the same way by the same frames."""

    def __init__(self, folder: Path, offer: Offer, candidate: Scene) -> None:
        self.camera, self.live, self.shown = offer.camera, offer.live, -BURST_SECONDS
        self._candidate = candidate
        self._area = area_mask(offer.camera.watch, offer.camera.ignore, candidate.settings.input.size)
        self._judges = Judge(offer.live), Judge(candidate)
        triggers = lowest_triggers(candidate_folder(folder), candidate.settings, self._judges[1].triggers)
        style = overlay_style(candidate.calibration, candidate.settings.score)
        self._excepting = Excepting(folder, offer.name, candidate, triggers, style, learnt=taught_of(folder))
        self._time: float | None = None

    def compare(self, offer: Offer, counts: Compared) -> tuple[Compared, tuple[float, float] | None]:
        """Returns the counts with a frame more, and both scores in units of their thresholds where they differ."""
        request = ScoreRequest(offer.frame, self._candidate, self._candidate.settings.score, self._area)
        other = self._excepting(score_batch([request])[0])
        size = (offer.frame.shape[1], offer.frame.shape[0])
        (one, live), (two, candidate) = (
            judge(score, size) for judge, score in zip(self._judges, (offer.counted, other), strict=True)
        )
        time = offer.frame.time
        step = 0.0 if self._time is None else time - self._time
        self._time = time
        counts = replace(
            counts,
            frames=counts.frames + 1,
            seconds=counts.seconds + (step if 0 < step <= LONGEST_STEP else 0.0),
            live=counts.live + live,
            candidate=counts.candidate + candidate,
            only_live=counts.only_live + (one > 1 >= two),
            only_candidate=counts.only_candidate + (two > 1 >= one),
        )
        return counts, (one, two) if (one > 1) != (two > 1) else None


class Judge:
    """A scene as the watch judges by it, for frames that are few and far between.

    Attributes:
        triggers: those of the scene.
    """

    def __init__(self, scene: Scene) -> None:
        settings = scene.settings
        self.triggers = triggers_of(settings.event, settings.score, scene.calibration)
        self._smoother = ScoreSmoother(settings.score.smoothing)
        style = overlay_style(scene.calibration, settings.score)
        self._detector = EventDetector(
            self.triggers, settings.event, smoothing=settings.score.smoothing, level=style.middle, size=(1, 1)
        )

    def __call__(self, score: FrameScore, size: tuple[int, int]) -> tuple[float, int]:
        """Returns the highest smoothed score in units of its threshold's distance from normal, and the new alarms."""
        self._detector.size = size
        scored = self._smoother(score)
        opened = sum(message.kind == "open" for message in self._detector.update(scored))
        shares = [1 + (scored.smoothed[trigger.kind] - trigger.threshold) / trigger.margin for trigger in self.triggers]
        return max(shares, default=0.0), opened


def taught_of(scene: Path) -> frozenset[str]:
    """Returns the ids of the events that a scene's candidate has learnt; none where that is not known."""
    try:
        candidate = Versions(scene).candidate
    except UserError as error:
        log.warning("%s: what its candidate has learnt is not known: %s", scene.name, error)
        return frozenset()
    return frozenset(() if candidate is None else candidate.taught)
