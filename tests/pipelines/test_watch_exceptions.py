"""A cart that comes again and again: "normal here", and it alarms no more, while all else still does."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from msflow_stream.config.loading import load
from msflow_stream.config.settings import EngineSettings
from msflow_stream.datasets.synthetic import SyntheticScene, Violation
from msflow_stream.events.store import StoredEvent
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import fit_identity, read_record, stored_settings
from msflow_stream.types import Event, Image
from msflow_stream.video.writing.video_writer import VideoWriter
from msflow_stream.watch.camera_outputs import WatchOutputs
from msflow_stream.watch.replay.dial import dial
from msflow_stream.watch.replay.recorded import Recorded
from msflow_stream.web.console.normal_here import wanted_of
from pipelines import packaged_config
from pipelines.fit import FitJob, fit
from pipelines.machine_watch import WatchJob
from pipelines.watch import watch
from tests.support.console import console_of

SIZE, RATE = (128, 96), Fraction(5)  # of a half of the view
SMALL = ("input.size=[96,256]", "fit.passes=3", "score.every=1", "score.threshold=2.0")
TORCH = EngineSettings(name="torch", precision="float32")
CART, CYCLIST = Violation("cart", 3, 6), Violation("cyclist", 2.5, 6.5)
LOOP = 8  # seconds
NOT_TOLD = ("id", "version", "start_wall", "end_wall")


@dataclass(frozen=True)
class Place:
    folder: Path

    @property
    def scene(self) -> Path:
        return self.folder / "scenes" / "gate"

    def watch(self, clip: str) -> list[Event]:
        """The events of a clip that camera `gate` shows."""
        known = {one.event.id for one in self.events()}
        cameras = {"cameras": {"gate": {"url": str(self.folder / clip), "scene": "gate", "every": 1}}}
        (self.folder / "cameras.yaml").write_text(yaml.safe_dump(cameras))
        written = WatchOutputs(out=self.folder / "watched", evidence=False)
        files = {"cameras": self.folder / "cameras.yaml", "scenes": self.folder / "scenes"}
        watch(WatchJob(**files, written=written, device="cpu", table=False, engine=TORCH))
        return [one.event for one in self.events() if one.event.id not in known]

    def events(self) -> list[StoredEvent]:
        """All so far, the oldest first."""
        if not (self.folder / "watched").exists():
            return []
        console = console_of(self.folder / "watched")
        try:
            return console.store.find()[::-1]
        finally:
            console.store.close()

    def normal_here(self, event: Event) -> None:
        """What the console does for who presses the button."""
        console = console_of(self.folder / "watched")
        stored = console.store.exact(event.id)
        assert stored is not None
        (wanted,) = wanted_of(console, [stored])
        assert wanted.seen
        wanted.add("anna", 1)
        console.store.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A walkway at the left, where a cart comes again and again, and another one at the right; and its scene."""
    folder = tmp_path_factory.mktemp("exceptions")
    normal = list(side_by_side(half(0, 30, 1), half(3, 30, 1)))
    cart, calm, cyclist = half(0, LOOP, 2, CART), half(3, LOOP, 2), half(3, LOOP, 2, CYCLIST)
    loop = list(side_by_side(cart, calm))
    both, elsewhere = list(side_by_side(cart, cyclist)), list(side_by_side(normal_left(normal), cyclist))
    left_behind = [behind(image) if 10 <= number < 60 else image for number, image in enumerate(normal[:75])]
    covered = [np.full_like(image, 30) if 10 <= number < 30 else image for number, image in enumerate(normal[75:110])]
    write(folder / "normal.mp4", normal)
    write(folder / "loop.mp4", [*loop, *loop, *loop])
    write(folder / "later.mp4", [*normal[:5], *loop, *loop, *both, *elsewhere, *left_behind, *covered, *loop])
    settings = load(packaged_config("demo"), SMALL)
    fit([str(folder / "normal.mp4")], folder / "scenes" / "gate", settings, FitJob(device="cpu"), quiet())
    return Place(folder)


def half(seed: int, seconds: float, traffic: int, *violations: Violation) -> list[Image]:
    return [one.image for one in SyntheticScene(*SIZE, RATE, seed, traffic).render(seconds, violations)]


def normal_left(normal: Sequence[Image]) -> list[Image]:
    return [image[:, : SIZE[0]] for image in normal[:40]]


def side_by_side(left: Sequence[Image], right: Sequence[Image]) -> Iterator[Image]:
    return (np.hstack(both) for both in zip(left, right, strict=True))


def behind(image: Image) -> Image:
    """The image with something that stands where the cart goes."""
    image = image.copy()
    image[50:66, 50:66] = (220, 40, 200)
    return image


def write(path: Path, images: Sequence[Image]) -> None:
    with VideoWriter(path, 2 * SIZE[0], SIZE[1], 1 / RATE, RATE, crf=18) as writer:
        for index, image in enumerate(images):
            writer.write(image, index)


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_with_normal_here_the_cart_alarms_no_more_and_all_else_still_does(place: Place) -> None:
    before = place.watch("loop.mp4")
    assert [round(event.start // LOOP) for event in before] == [0, 1, 2]
    place.normal_here(before[0])
    later = place.watch("later.mp4")
    assert len(later) == 4, [(one.start, one.end, one.triggers, one.regions) for one in later]
    both, elsewhere, behind, covered = later
    assert 19 < both.start < 22 < 25 < elsewhere.start < elsewhere.end < 33  # type: ignore[operator]
    assert {"appearance"} <= set(behind.triggers)
    assert (round(behind.start), round(behind.end)) == (35, 45)  # type: ignore[arg-type]
    assert covered.triggers[0] == "view"
    recorded = Recorded.read(place.folder / "watched" / "gate")
    rows = slice(-315, -235)  # the second and third loop
    assert (recorded.scores[rows, -1] > 4.0).sum() > 10  # as they were computed
    assert not recorded.alarm[rows].any()


def test_the_dial_tells_what_counted(place: Place) -> None:
    record = read_record(place.scene)
    calibration = Calibration.model_validate(record["calibration"])
    recorded = Recorded.read(place.folder / "watched" / "gate")
    told = dial(recorded, stored_settings(record), calibration, [], scene="gate", fit=fit_identity(record))
    assert [facts(one) for one in told.today.events] == [facts(one.event) for one in place.events()]
    assert len(told.today.events) == 7
    assert told.today.exact


def facts(event: Event) -> dict[str, object]:
    """An event but for its version, and the time of arrival, which a file has not."""
    return {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in NOT_TOLD}
