from __future__ import annotations

from msflow_stream.video.reading.frame_counter import MOST_WAITING, FrameCounter


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
