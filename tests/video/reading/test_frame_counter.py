from __future__ import annotations

from msflow_stream.video.reading.frame_counter import MOST_WAITING, Absent, FrameCounter


def test_the_counter_holds_no_more_than_a_decoder_can() -> None:
    counter = FrameCounter()
    for pts in range(10 * MOST_WAITING):
        counter.packet(pts)
    assert len(counter._waiting) <= MOST_WAITING
    assert counter.frame(10 * MOST_WAITING - 1) == 10 * MOST_WAITING - 1
    assert counter.lost == 10 * MOST_WAITING - 1


def test_a_repeated_frame_gets_no_index() -> None:
    counter = FrameCounter()
    counter.packet(0)
    counter.packet(1)
    assert [counter.frame(0), counter.frame(0), counter.frame(1)] == [0, None, 1]


def test_a_frame_that_nobody_wants_may_stay_away_and_is_not_lost() -> None:
    counter = FrameCounter()
    for pts in range(6):
        counter.packet(pts, wanted=pts % 3 == 0)
    assert [counter.frame(0), counter.frame(2), counter.frame(3)] == [0, 2, 3]
    assert counter.get_absent() == [Absent(1, 1, lost=False)]
    counter.finish()
    assert counter.get_absent() == [Absent(4, 4, lost=False), Absent(5, 5, lost=False)]
    assert (counter.lost, counter.passed) == (0, 6)


def test_a_wanted_frame_that_stays_away_is_lost() -> None:
    counter = FrameCounter()
    for pts in range(4):
        counter.packet(pts, wanted=pts % 2 == 0)
    assert counter.frame(3) == 3
    assert counter.lost == 2
    assert counter.get_absent() == [Absent(0, 0, lost=True), Absent(1, 1, lost=False), Absent(2, 2, lost=True)]
