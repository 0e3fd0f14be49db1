"""The supervisor with scripted connections: no camera, and no waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import pytest
from av.video.frame import VideoFrame

from msflow_stream.config.cameras import Backoff, CameraSettings
from msflow_stream.types import Frame
from msflow_stream.video.cards import Decoder
from msflow_stream.video.live.camera_reader import CameraReader
from msflow_stream.video.live.connection import DecodedFrame
from msflow_stream.video.live.faults import CameraError, Fault
from msflow_stream.video.live.states import State
from msflow_stream.video.live.timeline import CameraConnection
from msflow_stream.video.reading.source_info import SourceInfo
from tests.support.videos import coded_image

INFO = SourceInfo("gate", 64, 48, Fraction(25), Fraction(1, 25), None, None, "h264", False, True, 0)
LOST, AWAY = CameraError("gate", Fault.LOST, "connection lost"), CameraError("gate", Fault.REFUSED, "cannot connect")
DENIED = CameraError("gate", Fault.CREDENTIALS, "cannot connect")
BUG = ZeroDivisionError("a bug")


def failing() -> CameraConnection:
    raise AWAY


@dataclass
class Script:
    """A connection that gives the frames of these numbers, counts more that never come out, and ends with an error."""

    numbers: Sequence[int]
    end: BaseException = LOST
    unseen: int = 0
    damaged: int = 0
    before_each: Callable[[int], None] = lambda number: None
    received: int = 0
    ahead: bool = False
    closed: bool = False
    info: SourceInfo = INFO
    decoder: Decoder = "cuda"

    def __iter__(self) -> Iterator[DecodedFrame]:
        for number in self.numbers:
            self.before_each(number)
            self.received = number + 1
            yield DecodedFrame(VideoFrame.from_ndarray(coded_image(number), format="rgb24"), number, number)
        self.received += self.unseen
        raise self.end

    def close(self) -> None:
        self.closed = True


class Scene:
    """A supervisor on a script of connections: errors are attempts that fail; it is stopped when the script is over."""

    def __init__(
        self,
        script: Sequence[Script | BaseException],
        ended: Callable[[BaseException | None], None] | None = None,
        **options: object,
    ) -> None:
        self.frames: list[Frame] = []
        self.changes: list[tuple[State, State]] = []
        self.faults: list[Fault | None] = []
        self.waits: list[float] = []
        self.segments: list[int | None] = []
        self.now = 0.0
        self.over = threading.Event()
        self.on_frame: Callable[[], None] = lambda: None
        self._script = iter(script)
        self.camera = CameraReader(
            "rtsp://gate",
            self.deliver,
            random=Random(0),
            name="gate",
            settings=CameraSettings(**{"every": 1, "backoff": Backoff(first=1, ceiling=8, jitter=0), **options}),  # type: ignore[arg-type]
            ended=ended,
            connect=self.connect,
            clock=lambda: self.now,
            wait=self.wait,
        )
        self.camera.observe(self.note)

    def connect(self) -> CameraConnection:
        step = next(self._script, None)
        if step is None:
            self.over.set()
            raise AWAY
        if isinstance(step, BaseException):
            raise step
        return step

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.over.is_set()

    def deliver(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.on_frame()
        self.segments.append(self.camera.status().segment)

    def note(self, old: State, new: State, reason: str) -> None:
        self.changes.append((old, new))
        self.faults.append(self.camera.status().fault)

    def play(self) -> Scene:
        with self.camera:
            self.camera.join(10)
        return self


def test_indices_count_every_frame_and_go_on_over_reconnects() -> None:
    first, second = Script(range(7), unseen=2, damaged=3), Script([1, 2, 4, 5, 6, 7, 8])
    scene = Scene([first, AWAY, second], every=5).play()
    # The first connection brought frames 0 to 8, so the second one's frame 1 is the tenth: index 10.
    assert [frame.index for frame in scene.frames] == [0, 5, 10, 15]
    assert scene.segments == [0, 0, 1, 1]
    status = scene.camera.status()
    assert (status.frames_read, status.frames_sampled, status.decode_errors) == (18, 4, 3)
    assert status.decoder == "cuda"
    assert status.segment == 1
    assert status.reconnects == 3
    assert first.closed
    assert second.closed


def test_times_increase_and_each_frame_has_the_wall_clock_beside() -> None:
    frames = Scene([Script(range(4)), Script(range(4))]).play().frames
    times = [frame.time for frame in frames]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 1, 1.04, 1.08, 1.12])
    walls = [frame.wall for frame in frames]
    assert walls == sorted(wall for wall in walls if wall is not None)


def test_the_way_of_a_camera_that_is_lost_and_found_again() -> None:
    scene = Scene([AWAY, Script([0]), Script([0])]).play()
    news = [State.RECONNECTING, State.CONNECTING, State.RUNNING, State.RECONNECTING, State.CONNECTING, State.RUNNING]
    assert [new for _, new in scene.changes][:6] == news
    assert scene.changes[-1][1] is State.STOPPED
    assert scene.faults[0] is Fault.REFUSED
    assert scene.faults[3] is Fault.LOST
    assert scene.camera.status().state is State.STOPPED


def test_waits_grow_until_a_connection_has_held() -> None:
    scene: Scene

    def slowly(number: int) -> None:
        scene.now += 20

    scene = Scene([AWAY, AWAY, Script([0]), AWAY, AWAY, AWAY, Script([0, 1], before_each=slowly), AWAY])
    scene.play()
    assert scene.waits == [1, 2, 4, 8, 8, 8, 1, 2, 4]


def test_refused_credentials_are_tried_again_but_slowly() -> None:
    assert Scene([DENIED, AWAY]).play().waits == [8, 2, 4]


def test_a_camera_is_given_up_after_the_attempts_allowed() -> None:
    scene = Scene([AWAY] * 5, attempts=3).play()
    assert scene.waits == [1, 2]
    status = scene.camera.status()
    assert (status.state, status.fault, status.reason) == (State.FAILED, Fault.REFUSED, str(AWAY))


def test_frozen_and_black_pictures_are_reported_and_handed_on() -> None:
    scene: Scene

    def each_second(number: int) -> None:
        scene.now += 1

    class Still(Script):
        def __iter__(self) -> Iterator[DecodedFrame]:
            for arrival in super().__iter__():
                shade = 0 if arrival.number >= 6 else 1
                image = coded_image(arrival.number if arrival.number < 2 else 2) * shade
                yield arrival._replace(frame=VideoFrame.from_ndarray(image, format="rgb24"))

    scene = Scene([Still(range(9), before_each=each_second)], frozen_after=2, black_after=2, stalled_after=1e6)
    scene.play()
    assert scene.changes[:5] == [
        (State.CONNECTING, State.RUNNING),
        (State.RUNNING, State.STALLED),
        (State.STALLED, State.RUNNING),
        (State.RUNNING, State.STALLED),
        (State.STALLED, State.RECONNECTING),
    ]
    assert scene.faults[:5] == [None, Fault.FROZEN, None, Fault.BLACK, Fault.LOST]
    assert len(scene.frames) == 9


def test_a_camera_that_falls_silent_is_stalled_until_the_next_frame() -> None:
    scene: Scene
    silent = threading.Event()

    def wait_for_the_stall(number: int) -> None:
        if number == 1:
            scene.now += 5
            assert silent.wait(10)

    scene = Scene([Script([0, 1], before_each=wait_for_the_stall)], stalled_after=0.2, every=5)
    scene.camera.observe(lambda old, new, reason: silent.set() if new is State.STALLED else None)
    scene.play()
    assert scene.changes[:3] == [
        (State.CONNECTING, State.RUNNING),
        (State.RUNNING, State.STALLED),
        (State.STALLED, State.RUNNING),
    ]
    assert scene.faults[1] is Fault.SILENT


def test_lag_grows_while_nothing_comes() -> None:
    scene = Scene([Script([0])], stalled_after=1e6)
    assert scene.camera.status().lag is None
    scene.play()
    before = scene.camera.status().lag
    scene.now += 7
    assert before is not None
    assert scene.camera.status().lag == pytest.approx(before + 7)


@pytest.mark.parametrize("where", ["deliver", "connection", "observer"])
def test_a_bug_in_the_thread_is_raised_by_stop(where: str) -> None:
    def fail(*_: object) -> None:
        raise BUG

    scene = Scene([Script(range(3), end=BUG if where == "connection" else LOST)] * 2)
    if where == "deliver":
        scene.on_frame = fail
    if where == "observer":
        scene.camera.observe(fail)
    scene.camera.start()
    scene.camera.join(10)
    status = scene.camera.status()
    assert (status.state, status.fault) == (State.FAILED, Fault.BUG)
    assert "ZeroDivisionError" in status.reason
    with pytest.raises(ZeroDivisionError) as caught:
        scene.camera.stop()
    assert caught.value is BUG
    scene.camera.stop()  # said once


def test_the_end_is_told_once_in_the_readers_thread_after_the_last_frame() -> None:
    told: list[tuple[BaseException | None, int, State, bool]] = []
    scene: Scene

    def ended(error: BaseException | None) -> None:
        reads = threading.current_thread().name == "gate-read"
        told.append((error, len(scene.frames), scene.camera.status().state, reads))
        scene.camera.stop()  # may be called from here too

    for script, options in (([Script(range(3))], {}), ([AWAY], {"attempts": 1}), ([Script([0], end=BUG)], {})):
        scene = Scene(script, ended=ended, **options)
        scene.play()
    assert told == [
        (None, 3, State.STOPPED, True),
        (AWAY, 0, State.FAILED, True),
        (BUG, 1, State.FAILED, True),
    ]


def test_a_bug_goes_to_the_callback_instead_where_there_is_one() -> None:
    told: list[BaseException | None] = []
    script = Script([0], end=BUG)
    scene = Scene([script], ended=told.append).play()  # nothing is raised
    assert told == [BUG]
    assert script.closed
    assert scene.camera.status().fault is Fault.BUG


def test_a_bug_in_the_thread_that_looks_out_ends_the_reading_and_is_told_by_the_reader() -> None:
    told: list[tuple[BaseException | None, str]] = []
    scene: Scene
    failed = threading.Event()

    def fail(old: State, new: State, reason: str) -> None:
        if new is State.STALLED:
            raise BUG
        if new is State.FAILED:
            failed.set()

    def wait_for_the_stall(number: int) -> None:
        if number == 1:
            scene.now += 5
            assert failed.wait(10)
            for thread in threading.enumerate():
                if thread.name == "gate-lookout":  # those of other tests end soon
                    thread.join(10)
                    assert not thread.is_alive()

    scene = Scene(
        [Script(range(9), before_each=wait_for_the_stall)],
        ended=lambda error: told.append((error, threading.current_thread().name)),
        stalled_after=0.1,
    )
    scene.camera.observe(fail)
    scene.play()
    assert told == [(BUG, "gate-read")]
    assert [frame.index for frame in scene.frames] == [0]


def test_a_bug_in_the_callback_is_raised_by_stop() -> None:
    def ended(error: BaseException | None) -> None:
        raise BUG

    with pytest.raises(ZeroDivisionError):
        Scene([Script([0])], ended=ended).play()


def test_a_receiver_that_wants_no_more_ends_the_reading_quietly(caplog: pytest.LogCaptureFixture) -> None:
    told: list[BaseException | None] = []
    script = Script(range(100))
    camera = CameraReader(
        "rtsp://gate",
        lambda frame: frame.index < 5,
        random=Random(0),
        settings=CameraSettings(every=1),
        ended=told.append,
        connect=lambda: script,
    )
    camera.start()
    assert camera.join(10)
    assert camera.status().state is State.STOPPED
    assert camera.status().frames_read == 6
    assert told == [None]
    assert script.closed
    assert caplog.text == ""


def test_asking_to_stop_returns_at_once_from_any_thread_and_more_than_once() -> None:
    hang, entered = threading.Event(), threading.Event()

    def hanging(number: int) -> None:
        if number == 1:
            entered.set()
            hang.wait(30)

    scene = Scene([Script(range(100), before_each=hanging)])
    scene.camera.start()
    assert entered.wait(10)
    askers = [threading.Thread(target=scene.camera.ask_to_stop) for _ in range(3)]
    for asker in askers:
        asker.start()
        asker.join(10)
        assert not asker.is_alive()
    assert scene.camera.status().state is State.RUNNING  # the reader still waits for its connection
    hang.set()
    assert scene.camera.join(10)
    assert [frame.index for frame in scene.frames] == [0]
    assert scene.camera.status().state is State.STOPPED


def test_asking_to_stop_wakes_a_camera_that_waits_for_its_next_attempt() -> None:
    waiting = threading.Event()
    camera = CameraReader(
        "rtsp://gate",
        lambda frame: None,
        random=Random(0),
        settings=CameraSettings(backoff=Backoff(first=3600, ceiling=3600)),
        connect=failing,
    )
    camera.observe(lambda old, new, reason: waiting.set() if new is State.RECONNECTING else None)
    camera.start()
    assert waiting.wait(10)
    camera.ask_to_stop()
    assert camera.join(10)


def test_what_comes_all_at_once_passes_as_it_happened() -> None:
    scene = Scene([Script(range(5), ahead=True), Script(range(5), ahead=True)]).play()
    assert scene.waits[:4] == pytest.approx([0.04] * 4)
    assert [frame.time for frame in scene.frames[:5]] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert scene.waits[5:9] == pytest.approx([0.04] * 4)  # after a second between the two
    assert scene.camera.status().lag is not None


def test_what_comes_as_it_happens_waits_for_nothing() -> None:
    assert Scene([Script(range(5))]).play().waits == [1, 2]  # between the attempts


def test_nothing_is_delivered_after_stop_and_stop_may_come_from_deliver() -> None:
    scene = Scene([Script(range(100))])
    scene.on_frame = scene.camera.stop
    scene.play()
    assert [frame.index for frame in scene.frames] == [0]
    assert scene.camera.status().state is State.STOPPED


def test_stop_leaves_a_thread_behind_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("msflow_stream.video.live.camera_reader.GRACE", 0.1)
    hang, entered = threading.Event(), threading.Event()

    def hanging(number: int) -> None:
        entered.set()
        hang.wait(30)

    scene = Scene([Script([0], before_each=hanging)], open_timeout=0.1, read_timeout=0.1)
    scene.camera.start()
    assert entered.wait(10)
    with caplog.at_level(logging.WARNING):
        scene.camera.stop()
    assert scene.camera.status().state is State.STOPPED
    assert caplog.text.count("left behind") == 1  # not the one that only looks out
    hang.set()
    scene.camera.join(10)
    assert scene.frames == []
    assert scene.camera.status().state is State.STOPPED


def test_a_camera_that_was_never_started_can_be_stopped() -> None:
    scene = Scene([])
    scene.camera.stop()
    assert scene.changes == [(State.CONNECTING, State.STOPPED)]
