"""The newest frames of cameras: drawn only for those who look, and once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.types import Frame
from msflow_stream.video.drawing.jpeg import from_jpeg, to_jpeg
from msflow_stream.video.drawing.overlay import Overlay
from msflow_stream.video.pixels import shrink
from msflow_stream.video.reading.video_reader import VideoReader
from msflow_stream.watch import live_frames
from msflow_stream.watch.live_frames import QUALITY, LiveCamera, LiveFrames, NewestFrame, draw, quick_rgb
from tests.support.videos import write_video
from tests.watch.outputs.scored import STYLE, many, noise, scored


@pytest.fixture
def frames() -> Iterator[LiveFrames]:
    one = LiveFrames()
    yield one
    one.close()


def write(camera: LiveCamera, index: int, **options: object) -> None:
    camera.write(*scored(index, **options), STYLE, "combined")  # type: ignore[arg-type]


def test_a_frame_is_drawn_once_for_all_who_ask(frames: LiveFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(live: NewestFrame, width: int, past: list[tuple[float, float]], plain: bool) -> bytes:
        drawn.append((live.frame.index, width, plain))
        return draw(live, width, past, plain)

    monkeypatch.setattr(live_frames, "draw", counted)
    camera = frames.open("gate")

    async def look() -> None:
        write(camera, 1)
        live = await frames.newer("gate", 0, 0)
        assert live is not None
        contents = await asyncio.gather(*(frames.jpeg("gate", live, width) for width in (160, 160, 320, 160)))
        assert len(set(contents)) == 1, "what is 64 wide is 64 wide, however wide it is asked for"
        await frames.jpeg("gate", live, 160, plain=True)

    write(camera, 0)
    assert drawn == [], "nobody looks"
    asyncio.run(look())
    assert sorted(drawn) == [(1, 160, False), (1, 160, True), (1, 320, False)]


def test_one_who_waits_gets_the_next_frame_and_not_the_last_one_again(frames: LiveFrames) -> None:
    camera = frames.open("gate")
    write(camera, 0)

    async def look() -> list[int | None]:
        first = await frames.newer("gate", 0, 0)
        assert first is not None
        nothing = await frames.newer("gate", first.sequence, 0.01)
        waiting = asyncio.create_task(frames.newer("gate", first.sequence, 10))
        await asyncio.sleep(0.02)
        write(camera, 5)
        second = await waiting
        return [None if one is None else one.frame.index for one in (first, nothing, second)]

    assert asyncio.run(look()) == [0, None, 5]


def test_any_number_who_wait_cost_one_look(frames: LiveFrames) -> None:
    camera = frames.open("gate")
    write(camera, 0)

    async def look() -> int:
        first = await frames.newer("gate", 0, 0)
        assert first is not None
        waiting = [asyncio.create_task(frames.newer("gate", first.sequence, 10)) for _ in range(50)]
        await asyncio.sleep(0.02)
        tasks = len(asyncio.all_tasks())
        write(camera, 1)
        assert None not in await asyncio.gather(*waiting)
        return tasks

    assert asyncio.run(look()) == 50 + 2  # and itself


def test_nobody_waits_longer_than_for_the_end(frames: LiveFrames) -> None:
    frames.open("gate")

    async def look() -> object:
        waiting = asyncio.create_task(frames.newer("gate", 0, 60))
        await asyncio.sleep(0.01)
        frames.close()
        return await waiting

    assert asyncio.run(look()) is None


def test_the_frame_of_a_camera_that_begins_anew_is_newer(frames: LiveFrames) -> None:
    first = frames.open("gate")
    write(first, 0)
    second = frames.open("gate")
    write(second, 0)
    assert first.newest is not None
    assert second.newest is not None
    assert second.newest.sequence > first.newest.sequence
    frames.forget("gate")
    assert "gate" not in frames


def test_the_timeline_shows_the_frames_that_nobody_looked_at(frames: LiveFrames) -> None:
    camera = frames.open("gate")
    items = list(many(40, image=np.full((180, 320, 3), 90, np.uint8)))
    for item in items:
        camera.write(*item, STYLE, "combined")
    assert camera.newest is not None
    past = camera.past(camera.newest.frame.time, STYLE.history)
    overlay = Overlay(STYLE)
    for frame, score, row in items:
        expected = to_jpeg(overlay.draw(frame.image, score, row.smoothed, frame.time, alarm=False), QUALITY)
    assert draw(camera.newest, 320, past, plain=False) == expected
    assert draw(camera.newest, 320, [], plain=False) != expected


def test_a_plain_frame_has_nothing_on_it() -> None:
    flat = np.full((48, 64, 3), 90, np.uint8)
    live = NewestFrame(1, *scored(3, image=flat, alarm=1), STYLE, "combined")
    assert np.abs(from_jpeg(draw(live, 160, [], plain=True)).astype(int) - 90).max() <= 2
    assert np.abs(from_jpeg(draw(live, 160, [], plain=False)).astype(int) - 90).max() > 50


def test_a_decoded_frame_keeps_its_shape_and_colours(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", images=[noise(1, (320, 180))])
    with VideoReader(tmp_path / "clip.mp4") as video:
        frame: Frame = next(iter(video))
    planes = shrink(frame.pixels, (90, 160))
    assert np.abs(quick_rgb(planes).astype(int) - planes.rgb()).max() <= 1
    live = replace(NewestFrame(1, *scored(0), STYLE, "paper"), frame=frame)
    assert from_jpeg(draw(live, 160, [], plain=True)).shape == (90, 160, 3)


def test_facts_are_json_whatever_the_numbers() -> None:
    frame, score, row = scored(4)
    live = NewestFrame(7, frame, score, replace(row, smoothed=nan, threshold=inf, probability=None), STYLE, "motion")
    facts = live.facts()
    assert (facts["sequence"], facts["index"], facts["kind"], facts["alarm"]) == (7, 4, "motion", False)
    assert (facts["smoothed"], facts["threshold"], facts["probability"]) == (None, None, None)
    assert (facts["level"], facts["threshold_level"]) == (0.0, None)
    assert facts["wall"] == "2026-11-23T23:21:38.800000+00:00"
