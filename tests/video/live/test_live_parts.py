"""The small parts of a live camera, each by itself: waits, times, pictures, errors."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import av
import numpy as np
import pytest
from av import error as errors
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.config.cameras import Backoff
from msflow_stream.types import Frame
from msflow_stream.video.live.faults import ADVICE, Fault, open_error, read_error
from msflow_stream.video.live.open_camera import camera_stream
from msflow_stream.video.live.picture_check import PictureCheck
from msflow_stream.video.live.timeline import Timeline
from tests.support.videos import coded_image, write_video

SECRET = "hunter2"
URL = f"rtsp://admin:{SECRET}@camera.example/live"


def test_a_camera_is_decoded_on_one_thread(tmp_path: Path) -> None:
    with av.open(str(write_video(tmp_path / "a.mp4", 3))) as container:
        assert camera_stream(container, URL).codec_context.thread_count == 1


def test_waits_double_up_to_the_ceiling() -> None:
    backoff = Backoff(first=1, ceiling=60, jitter=0)
    assert [backoff.delay(failures, Random(0)) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


@given(failures=st.integers(1, 10**9), jitter=st.floats(0, 1), seed=st.integers(), slow=st.booleans())
def test_a_wait_is_cut_by_no_more_than_the_jitter_even_after_years(
    failures: int, jitter: float, seed: int, slow: bool
) -> None:
    full = 8 if slow or failures > 3 else 2 ** (failures - 1)
    delay = Backoff(first=1, ceiling=8, jitter=jitter).delay(failures, Random(seed), slow)
    assert full * (1 - jitter) <= delay <= full


def test_many_cameras_do_not_return_at_once() -> None:
    random = Random(0)
    delays = [Backoff().delay(3, random) for _ in range(100)]
    assert len(set(delays)) == 100


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 2, "ceiling": 1}, {"jitter": 1.5}])
def test_impossible_waits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"first|jitter"):
        Backoff(**wrong)


stamps = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(st.lists(st.tuples(stamps, st.floats(0, 30), st.booleans()), min_size=2))
def test_times_always_increase_whatever_the_camera_says(frames: list[tuple[float | None, float, bool]]) -> None:
    timeline, arrived, times = Timeline(), 100.0, []
    for media, passed, reconnected in frames:
        arrived += passed
        if reconnected:
            timeline.begin()
        times.append(timeline.stamp(media, arrived))
        assert timeline.lag >= 0
    assert times[0] == 0
    assert all(before < after for before, after in pairwise(times))


def test_regular_timestamps_are_kept_to_the_tick_whatever_the_network_does() -> None:
    timeline, jitter = Timeline(), [0.0, 0.3, 0.01, 0.0, 0.2]
    times = [timeline.stamp(5000 + number / 25, 7 + number / 25 + jitter[number % 5]) for number in range(50)]
    assert times == pytest.approx([number / 25 for number in range(50)])


def test_a_clock_that_is_set_back_or_jumps_ahead_goes_on_with_ours() -> None:
    timeline = Timeline()
    times = [timeline.stamp(media, arrived) for media, arrived in ((50, 0), (51, 1), (3, 2), (4, 3), (9000, 4))]
    assert times == pytest.approx([0, 1, 2, 3, 4])


def test_a_new_segment_goes_on_after_the_gap() -> None:
    timeline = Timeline()
    timeline.stamp(50, 0)
    timeline.begin()
    assert [timeline.stamp(7, 30), timeline.stamp(8, 31)] == pytest.approx([30, 31])


def test_lag_is_how_much_later_than_the_promptest_a_frame_comes() -> None:
    timeline = Timeline()
    lags = []
    for media, arrived in ((0, 0.5), (1, 1.0), (2, 2.0), (3, 5.0), (4, 5.1), (5, 5.2), (6, 6.0)):
        timeline.stamp(media, arrived)
        lags.append(timeline.lag)
    assert lags == pytest.approx([0, 0, 0, 2, 1.1, 0.2, 0], abs=1e-2)


def test_a_slow_clock_of_the_camera_is_no_lag() -> None:
    timeline = Timeline()
    for second in range(86_400):
        timeline.stamp(second * (1 - 5e-5), second)
    assert timeline.lag < 0.01


def test_a_frame_is_early_by_how_much_its_stamp_is_ahead_of_our_clock() -> None:
    timeline = Timeline()
    assert timeline.early(7, 100) == 0  # nothing is known yet
    timeline.stamp(7, 100)
    assert timeline.early(7.04, 100.01) == pytest.approx(0.03)
    assert timeline.early(7.04, 101) == 0  # late
    assert timeline.early(None, 100) == 0
    assert timeline.early(9000, 100) == 0  # not early: another clock
    timeline.begin()
    assert timeline.early(7.04, 100.01) == 0


NOISE = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)


def shown(image: np.ndarray) -> Frame:  # type: ignore[type-arg]
    return Frame("gate", 0, None, 0.0, None, image)


def test_identical_pictures_are_frozen_after_the_time_and_one_change_ends_it() -> None:
    check = PictureCheck(frozen_after=2, black_after=1)
    assert [check.check(shown(NOISE[0]), second) for second in range(3)] == [None] * 3
    assert check.check(shown(NOISE[0]), 3) == (Fault.FROZEN, 2)
    changed = NOISE[0].copy()
    changed[0, 0, 0] ^= 1
    assert check.check(shown(changed), 4) is None


def test_still_but_live_pictures_are_not_frozen() -> None:
    check = PictureCheck(frozen_after=0.5, black_after=1)
    random = np.random.default_rng(0)
    for second in range(20):
        noisy = coded_image(3) + random.integers(0, 2, (48, 64, 3), dtype=np.uint8)
        assert check.check(shown(noisy), second) is None


@pytest.mark.parametrize("colour", [(0, 0, 0), (16, 16, 16), (0, 0, 255)])
def test_a_picture_of_one_colour_is_black_rather_than_frozen(colour: tuple[int, int, int]) -> None:
    check = PictureCheck(frozen_after=1, black_after=1)
    picture = np.full((48, 64, 3), colour, np.uint8)
    assert check.check(shown(picture), 0) is None
    assert check.check(shown(picture), 1) == (Fault.BLACK, 1)
    assert check.check(shown(NOISE[0]), 2) is None
    assert check.check(shown(picture), 3) is None


@pytest.mark.parametrize(
    ("frozen_after", "black_after", "found"),
    [(None, 1, (Fault.BLACK, 3)), (1, None, (Fault.FROZEN, 2)), (None, None, None)],
)
def test_what_is_not_looked_for_is_not_found(
    frozen_after: float | None, black_after: float | None, found: tuple[Fault, float] | None
) -> None:
    check = PictureCheck(frozen_after, black_after)
    black = np.zeros((48, 64, 3), np.uint8)
    assert [check.check(shown(black), second) for second in range(4)][-1] == found


def test_a_change_of_size_is_a_change() -> None:
    check = PictureCheck(frozen_after=0, black_after=1)
    assert check.check(shown(NOISE[0]), 0) is None
    assert check.check(shown(NOISE[0, :24]), 1) is None


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (errors.HTTPUnauthorizedError, Fault.CREDENTIALS),
        (errors.HTTPForbiddenError, Fault.CREDENTIALS),
        (errors.HTTPNotFoundError, Fault.NOT_FOUND),
        (errors.HTTPServerError, Fault.SERVER),
        (errors.ConnectionRefusedError, Fault.REFUSED),
        (errors.ExitError, Fault.TIMEOUT),
        (errors.DecoderNotFoundError, Fault.CODEC),
        (errors.InvalidDataError, Fault.GARBLED),
        (errors.OSError, Fault.UNREACHABLE),
    ],
)
def test_an_error_on_connecting_says_in_one_line_what_to_check(kind: type[av.FFmpegError], fault: Fault) -> None:
    error = open_error(kind(5, f"why {URL}", URL), URL, waited=0.1, timeout=2)
    assert error.fault is fault
    assert str(error).startswith("rtsp://***@camera.example/live: cannot connect (")
    assert str(error).endswith(ADVICE[fault])
    assert "\n" not in str(error)
    assert SECRET not in str(error)


def test_the_same_error_means_what_its_circumstances_say() -> None:
    error = errors.OSError(5, "Input/output error", URL)
    assert open_error(error, URL.replace("rtsp", "rtsps"), 0.1, 2).fault is Fault.TLS
    assert open_error(error, URL, 2.1, 2).fault is Fault.TIMEOUT
    assert read_error(error, URL, 0.1, 2).fault is Fault.LOST
    assert open_error(errors.HTTPUnauthorizedError(1, "401", URL), URL, 2.1, 2).fault is Fault.CREDENTIALS


def test_every_fault_has_advice() -> None:
    assert set(ADVICE) == set(Fault)
