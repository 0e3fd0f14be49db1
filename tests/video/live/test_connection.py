from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from msflow_stream.video.live.connection import Connection, DecodedFrame
from msflow_stream.video.live.faults import CameraError
from tests.support.videos import overwrite_packets, write_video


def received(path: Path, motion: bool = True) -> list[DecodedFrame]:
    """What a connection gives whose stream is this file."""
    connection, found = Connection(str(path), name="gate", motion=motion), list[DecodedFrame]()
    with pytest.raises(CameraError, match="the stream ended"):
        found.extend(connection)
    connection.close()
    return found


def companions(found: list[DecodedFrame]) -> list[int | None]:
    """The number that each frame's companion has."""
    numbers = {id(one.frame): one.number for one in found}
    return [None if one.companion is None else numbers[id(one.companion.frame)] for one in found]


@pytest.mark.parametrize(("rate", "steps"), [(10, 1), (25, 2), (30, 3)])
def test_frames_come_with_the_newest_one_that_is_old_enough(rate: int, steps: int, tmp_path: Path) -> None:
    found = received(write_video(tmp_path / "a.ts", 30, rate=rate, b_frames=2))
    assert companions(found) == [None] * steps + list(range(30 - steps))
    seconds = {one.companion.seconds for one in found if one.companion}
    assert all(one == pytest.approx(float(Fraction(steps, rate)), abs=2e-5) for one in seconds)


def test_a_frame_that_never_came_out_is_nobody_s_companion(tmp_path: Path) -> None:
    path = overwrite_packets(write_video(tmp_path / "a.mp4", 30, keyframe_every=1), [13])
    found = received(path)
    assert [one.number for one in found] == [number for number in range(30) if number != 13]
    expected = [None, None, *(number - 2 for number in range(2, 30) if number != 13)]
    assert companions(found) == [None if number == 13 else number for number in expected]


def test_frames_come_alone_where_motion_does_not_count(tmp_path: Path) -> None:
    assert companions(received(write_video(tmp_path / "a.ts", 10), motion=False)) == [None] * 10
