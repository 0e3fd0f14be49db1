"""Evidence when things go wrong: a full disk, a kill, a writer that is too slow."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.events.evidence.event_clips import EvidenceSettings
from msflow_stream.events.evidence.event_folder import read_event
from msflow_stream.events.evidence.recorder import CUT_OFF, EvidenceWriter
from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.reading.video_reader import VideoReader
from tests.events.evidence.playing import EVERY, RATE, STYLE, evidence, names, play, said, scored
from tests.support.clips import codes, shown
from tests.support.data import REPOSITORY
from tests.support.small_disk import fill, small_disk
from tests.support.videos import write_video
from tests.watch.outputs.scored import Hands

SETTINGS = EvidenceSettings(pre_roll=2.0, post_roll=1.0)
LENGTH = 500


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that no encoder makes small: about 25 kB each."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(LENGTH)]
    return write_video(tmp_path_factory.mktemp("source") / "s.mp4", images=images, rate=RATE)


def watch(source: Path, folder: Path, clock: Hands, settings: EvidenceSettings = SETTINGS) -> EvidenceWriter:
    packets = FilePackets(source, settings.memory_seconds)
    return EvidenceWriter(folder, STYLE, packets=packets, settings=settings, clock=clock)


def test_a_disk_that_gets_full_while_a_clip_is_written(tmp_path: Path, source: Path) -> None:
    clock = Hands()
    with small_disk(tmp_path / "disk", 12_000_000) as disk:
        writer = watch(source, disk / "events", clock)
        with VideoReader(source, EVERY) as reader:
            for frame in reader:
                clock.now = frame.time
                writer.write(*scored(frame))
                if frame.index == 100:
                    writer.event(said("one", 4.0, 100))
                if frame.index == 150:
                    filler = fill(disk, room=200_000)
                if frame.index == 250:
                    writer.event(said("one", 4.0, 200, 10.0, version=2))
                if frame.index == 300:
                    assert writer.losses["disk"] >= 2  # the clip, the overlay; perhaps snapshot and event.json
                    filler.unlink()
                if frame.index == 350:
                    writer.event(said("two", 14.0, 350))
                if frame.index == 400:
                    writer.event(said("two", 14.0, 350, 16.0, version=2))
        lost = writer.losses["disk"]
        writer.close()
        assert writer.losses == {"disk": lost, "slow": 0}
        one, two = disk / "events/one", disk / "events/two"
        assert 90 <= len(shown(one / "clip.mp4", cut_off=True)) < 200  # from 2 s to a little over 6
        assert len(shown(one / "overlay.mp4", cut_off=True)) >= 15
        found = read_event(one)
        assert found is not None
        assert found[0].kind == "close", "it was written when there was room again"
        assert any("the clip is not whole: No space left" in note for note in found[1]["notes"])
        assert evidence(two)["notes"] == []
        assert [part["end"] for part in evidence(two)["clips"]] == pytest.approx([17.0])
        assert len(shown(two / "clip.mp4")) == (17 - 12) * RATE + 1


def test_an_event_that_finds_no_room_at_all_is_begun_when_there_is_some(tmp_path: Path, source: Path) -> None:
    clock = Hands()
    with small_disk(tmp_path / "disk", 12_000_000) as disk:
        writer = watch(source, disk / "events", clock)
        with VideoReader(source, EVERY) as reader:
            for frame in reader:
                clock.now = frame.time * 4
                writer.write(*scored(frame))
                if frame.index == 95:
                    filler = fill(disk)
                if frame.index == 100:
                    writer.event(said("one", 4.0, 100))
                    assert names(disk / "events") in (set(), {"one"})
                if frame.index == 150:
                    writer.event(said("one", 4.0, 150, version=2))
                    filler.unlink()
                if frame.index == 300:
                    writer.event(said("one", 4.0, 150, 12.0, version=3))
        writer.close()
        assert writer.losses == {"disk": 0, "slow": 0}
        (part,) = evidence(disk / "events/one")["clips"]
        assert (part["start"], part["end"]) == (pytest.approx(1.92), pytest.approx(13.0))
        assert "snapshot.jpg" in names(disk / "events/one")


def test_events_that_never_find_room_are_counted(tmp_path: Path, source: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        writer = EvidenceWriter(disk / "events", STYLE, settings=SETTINGS)
        fill(disk)
        messages = {index: said(f"e{index}", index / RATE, index) for index in range(0, LENGTH, EVERY)}
        play(source, writer, messages)
        writer.close()
        assert writer.losses["disk"] == len(messages)
        (disk / "filler").unlink()


CHILD = """
import sys
from pathlib import Path
from msflow_stream.events.evidence.recorder import EvidenceWriter
from msflow_stream.video.packets.file_packets import FilePackets
from msflow_stream.video.reading.video_reader import VideoReader
from tests.events.evidence.playing import STYLE, said, scored
from tests.events.evidence.test_faults import SETTINGS
source, folder = map(Path, sys.argv[1:])
writer = EvidenceWriter(folder, STYLE, packets=FilePackets(source, 15), settings=SETTINGS)
with VideoReader(source, 5) as reader:
    for frame in reader:
        writer.write(*scored(frame))
        if frame.index == 100:
            writer.event(said("one", 4.0, 100))
        print(frame.index, flush=True)
        if frame.index == 300:
            sys.stdin.read()
"""


def test_after_a_kill_in_the_middle_of_an_event_what_was_written_plays_and_it_can_be_closed(
    tmp_path: Path, source: Path
) -> None:
    numbered = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE, b_frames=2)
    folder = tmp_path / "events"
    command = [sys.executable, "-c", CHILD, str(numbered), str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 300:
                child.send_signal(signal.SIGKILL)
                break
    clip = codes(folder / "one/clip.mp4")
    assert clip[0] == 48
    assert clip[:-2] == list(range(48, 46 + len(clip)))
    assert len(clip) >= (300 - 48) - 2 * RATE, "all but the last two seconds"
    assert len(shown(folder / "one/overlay.mp4")) >= (300 - 50) // EVERY - 2 * RATE // EVERY
    found = read_event(folder / "one")
    assert found is not None
    assert found[0].kind == "open"

    writer = EvidenceWriter(folder, STYLE, settings=SETTINGS)
    assert writer.unfinished == {"one"}
    closing = said("one", 4.0, 100, 12.0, version=5)
    writer.event(closing)
    assert writer.unfinished == frozenset()
    play(numbered, writer, {100: said("two", 4.0, 100), 200: said("two", 4.0, 100, 8.0, version=2)})
    writer.close()
    found = read_event(folder / "one")
    assert found is not None
    assert found[0] == closing
    assert CUT_OFF in found[1]["notes"]
    assert codes(folder / "one/clip.mp4") == clip, "what was written stays as it is"
    assert len(evidence(folder / "two")["clips"]) == 1


def test_an_event_that_is_open_when_the_writer_is_closed_stays_open_and_plays(tmp_path: Path, source: Path) -> None:
    writer = watch(source, tmp_path / "events", Hands())
    play(source, writer, {100: said("one", 4.0, 100)}, most=201)
    writer.close()
    writer.close()
    assert len(shown(tmp_path / "events/one/clip.mp4")) > 150
    assert EvidenceWriter(tmp_path / "events", STYLE).unfinished == {"one"}


def test_packets_that_come_faster_than_they_are_copied_leave_a_gap_that_is_counted(tmp_path: Path) -> None:
    numbered = write_video(tmp_path / "s.mp4", LENGTH, rate=RATE, keyframe_every=10)
    packets = FilePackets(numbered, seconds=3.0)  # less than passes between the frames below
    writer = EvidenceWriter(tmp_path / "events", STYLE, packets=packets, settings=SETTINGS)
    with VideoReader(numbered, EVERY) as reader:
        for frame in reader:
            if 120 < frame.index < 300:
                continue
            writer.write(*scored(frame))
            if frame.index == 100:
                writer.event(said("one", 4.0, 100))
    writer.close()
    seen = [code for code in codes(tmp_path / "events/one/clip.mp4") if code is not None]
    gap = next(place for place in range(1, len(seen)) if seen[place] != seen[place - 1] + 1)
    assert seen[gap] % 10 == 0, "it goes on with a key frame"
    assert seen == [*range(seen[0], seen[gap - 1] + 1), *range(seen[gap], LENGTH)]
    assert writer.losses["slow"] == seen[gap] - seen[gap - 1] - 1
    times = [time for time, _ in shown(tmp_path / "events/one/clip.mp4")]
    assert times[gap] - times[gap - 1] == pytest.approx((seen[gap] - seen[gap - 1]) / RATE, abs=1e-3)
