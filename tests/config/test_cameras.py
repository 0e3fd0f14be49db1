"""cameras.yaml: defaults, secrets, schedules, and mistakes that name their line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from msflow_stream.config.cameras import SCHEMES, Backoff, Camera, CameraSettings, Shift
from msflow_stream.config.cameras_file import json_schema, load_cameras, load_file
from msflow_stream.types import UserError
from msflow_stream.video.sources import LIVE_SCHEMES
from tests.support.data import REPOSITORY

EXAMPLE = REPOSITORY / "configs" / "cameras.example.yaml"
GATE = "cameras:\n  gate:\n    url: rtsp://host/stream\n    scene: gate\n"


def written(folder: Path, text: str) -> Path:
    (folder / "cameras.yaml").write_text(text, encoding="utf-8")
    return folder / "cameras.yaml"


def complaint(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_cameras(written(folder, text), environment or {})
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder / "cameras.yaml"), "FILE")


@pytest.fixture
def example(tmp_path: Path) -> dict[str, Camera]:
    """The cameras of the example, with a password in the environment and one in a file."""
    (tmp_path / "yard").write_text("s3cret\n")
    text = EXAMPLE.read_text().replace("/run/secrets/yard", str(tmp_path / "yard"))
    return load_cameras(written(tmp_path, text), {"GATE_PASSWORD": "pa$$", "HOOK_SECRET": "hush"})


def test_the_example_loads(example: dict[str, Camera], tmp_path: Path) -> None:
    assert {name: camera.url.get_secret_value() for name, camera in example.items()} == {
        "gate": "rtsp://viewer:pa$$@192.0.2.10:554/stream1",
        "yard": "rtsp://viewer:s3cret@192.0.2.11/stream",
        "roof": "rtsp://viewer:pa$$@192.0.2.13/stream",
        "door": "https://192.0.2.12/live/index.m3u8",
        "desk": "0",
        "walk": str(tmp_path / "recordings" / "walk.mp4"),
    }
    assert example["yard"].scenes == ("yard-day", "yard-night")
    assert example["roof"].learn is not None
    assert "s3cret" not in f"{example!r} {example['yard']} {example['yard'].model_dump_json()}"


def test_the_example_fits_the_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(EXAMPLE.read_text()), schema)


def keys(of: type[BaseModel]) -> set[str]:
    return set(of.model_fields)


@pytest.mark.parametrize("section", [CameraSettings, Camera, Backoff, Shift])
def test_the_example_shows_every_key(section: type[BaseModel]) -> None:
    text = EXAMPLE.read_text()
    assert {key for key in keys(section) if f"{key}:" not in text} == set()


def test_the_defaults_of_the_example_are_those_without_it() -> None:
    shown = yaml.safe_load(EXAMPLE.read_text())["defaults"]
    assert keys(CameraSettings) == set(shown)
    assert CameraSettings.model_validate(shown) == CameraSettings()


def test_every_setting_of_reading_is_read_from_the_file(tmp_path: Path) -> None:
    text = GATE + (
        "    every: 2\n    transport: udp\n    decode: cpu\n    open_timeout: 1\n    read_timeout: 2\n"
        "    stalled_after: 4\n    frozen_after: null\n    black_after: null\n    attempts: 7\n"
        "    backoff: {first: 3, ceiling: 5, jitter: 0, settled: 6}\n"
    )
    camera = load_cameras(written(tmp_path, text), {})["gate"]
    assert (
        camera.model_dump(include=keys(CameraSettings))
        == CameraSettings(
            every=2,
            transport="udp",
            decode="cpu",
            open_timeout=1,
            read_timeout=2,
            stalled_after=4,
            frozen_after=None,
            black_after=None,
            attempts=7,
            backoff=Backoff(first=3, ceiling=5, jitter=0, settled=6),
        ).model_dump()
    )


def test_addresses_are_those_that_can_be_read() -> None:
    assert set(SCHEMES) == LIVE_SCHEMES | {"file"}


def described(schema: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Every key of the schema, and whether editors can show what it is for."""
    for part in (schema, *schema["$defs"].values()):
        for name, value in part.get("properties", {}).items():
            yield name, bool(value.get("description"))


def test_editors_are_told_what_every_key_is_for() -> None:
    known = list(described(json_schema()))
    assert {name for name, _ in known} >= keys(Camera) | keys(Backoff) | keys(Shift)
    assert [name for name, told in known if not told] == []


@pytest.mark.parametrize(
    "wrong",
    [
        "cameras: {a: {url: b, scene: c, evry: 3}}",
        "cameras: {a: {url: b, scene: c, every: 0}}",
        "cameras: {a: {scene: c}}",
        "cameras: []",
        "cameras: {../up: {url: b, scene: c}}",
        "cameras: {a: {url: b, schedule: [{start: dawn, scene: c}]}}",
        "defaults: {backoff: {frst: 1}}\ncameras: {a: {url: b, scene: c}}",
    ],
)
def test_editors_find_what_loading_refuses(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(wrong), json_schema())
    complaint(tmp_path, wrong)


def test_a_camera_read_twice_is_the_same_unless_its_entry_changed(tmp_path: Path) -> None:
    path = written(tmp_path, GATE.replace("stream", "${KEY}") + "  yard: {url: a, scene: b}\n")
    once, again = load_cameras(path, {"KEY": "a"}), load_cameras(path, {"KEY": "a"})
    other = load_cameras(path, {"KEY": "b"})
    assert once == again
    assert once["gate"] != other["gate"]
    assert once["yard"] == other["yard"]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("clip.mp4", "{folder}/clip.mp4"),
        ("./a/clip.mp4", "{folder}/a/clip.mp4"),
        ("../clip.mp4", "{folder}/../clip.mp4"),
        ("/data/clip.mp4", "/data/clip.mp4"),
        ("file:///data/clip.mp4", "/data/clip.mp4"),
        ("0", "0"),
        ("rtsp://h/s", "rtsp://h/s"),
    ],
)
def test_paths_are_relative_to_the_file(url: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, f"cameras:\n  gate: {{url: {url!r}, scene: a}}\n")
    monkeypatch.chdir(tmp_path.parent)
    (camera,) = load_cameras(Path(tmp_path.name) / "cameras.yaml", {}).values()
    assert camera.url.get_secret_value() == where.format(folder=tmp_path)


def test_a_secret_file_may_be_named_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    (camera,) = load_cameras(written(tmp_path, GATE.replace("stream", "${file:key}")), {}).values()
    assert camera.url.get_secret_value() == "rtsp://host/s3cret"


def test_waits_are_inherited_one_by_one(tmp_path: Path) -> None:
    text = "defaults: {backoff: {first: 2, ceiling: 9}}\n" + GATE + "    backoff: {ceiling: 8}\n"
    backoff = load_cameras(written(tmp_path, text), {})["gate"].backoff
    assert (backoff.first, backoff.ceiling) == (2, 8)


@pytest.mark.parametrize("quote", ["", "'"])
def test_a_time_of_day_may_stand_without_quotes(quote: str, tmp_path: Path) -> None:
    starts = [f"{{start: {quote}{start}{quote}, scene: s{start[:2]}}}" for start in ("06:30", "20:00", "23:15:30")]
    text = f"cameras:\n  gate: {{url: a, schedule: [{', '.join(starts)}]}}\n"
    schedule = load_cameras(written(tmp_path, text), {})["gate"].schedule
    assert [shift.start for shift in schedule] == [time(6, 30), time(20), time(23, 15, 30)]


def test_defaults_are_inherited_and_overridden(tmp_path: Path) -> None:
    text = "defaults: {every: 3, transport: udp}\n" + GATE + "  yard: {url: a, scene: b, every: 7}\n"
    cameras = load_cameras(written(tmp_path, text), {})
    assert [(one.every, one.transport) for one in cameras.values()] == [(3, "udp"), (7, "udp")]


@pytest.mark.parametrize(
    ("hour", "scene"), [(0, "night"), (5, "night"), (6, "day"), (12, "day"), (20, "night"), (23, "night")]
)
def test_a_schedule_goes_around_the_clock(hour: int, scene: str) -> None:
    camera = Camera.model_validate(
        {"url": "a", "schedule": [{"start": "06:00", "scene": "day"}, {"start": "20:00", "scene": "night"}]}
    )
    assert camera.scene_at(time(hour)) == scene


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GATE + "    evry: 3\n", "FILE, line 5: cameras.gate.evry is unknown: did you mean 'every'?"),
        ("defalts: {}\n" + GATE, "FILE, line 1: defalts is unknown: did you mean 'defaults'?"),
        ("defaults:\n  transprt: udp\n" + GATE, "line 2"),
        ("defaults:\n  every: 0\n" + GATE, "FILE, line 2: "),
        (GATE + "    every: 0\n", "FILE, line 5: cameras.gate.every: "),
        (GATE + "    transport: quic\n", "FILE, line 5: cameras.gate.transport: "),
        (GATE + "    schedule: [{start: '06:00', scene: b}]\n", "line 2: cameras.gate: give either scene or schedule"),
        ("cameras:\n  gate: {url: a}\n", "line 2: cameras.gate: give either scene or schedule"),
        ("cameras:\n  gate:\n    scene: a\n", "line 2: cameras.gate.url: Field required"),
        (GATE + "    ignore: [[[0, 0], [1, 1]]]\n", "line 5: cameras.gate.ignore.0: "),
        (GATE + "    watch: [[[0, 0], [1, 1], [0, 2]]]\n", "line 5: cameras.gate.watch.0.2.1: "),
        (GATE + "  gate: {url: b, scene: c}\n", "FILE, line 5: gate is there twice"),
        ("cameras:\n", "FILE, line 1: cameras: should hold at least one camera"),
        ("cameras: [gate]\n", "FILE, line 1: cameras: should hold at least one camera"),
        ("cameras: &all {gate: *all}\n", "FILE: a part of it contains itself"),
        (f"cameras: {'[' * 600}\n", "FILE: this is nested too deeply"),
        ("cameras:\n  ../up: {url: a, scene: b}\n", "'../up' is no name for a camera"),
        (GATE + "  a/b: {url: a, scene: b}\n", "FILE, line 5: cameras.a/b: 'a/b' is no name for a camera"),
        (GATE + "  yard.: {url: a, scene: b}\n", "line 5: cameras.yard.: 'yard.' is no name"),
        (GATE + f"  {'a' * 101}: {{url: a, scene: b}}\n", "is no name for a camera"),
        (GATE + "  Gate: {url: a, scene: b}\n", "FILE, line 5: Gate and gate differ only in upper and lower case"),
        (GATE.replace("rtsp:", "rtps:"), "FILE, line 3: cameras.gate.url: cannot be read; an address begins with rtsp"),
        (GATE.replace("rtsp://host/stream", "''"), "FILE, line 3: cameras.gate.url: is no address"),
        (GATE.replace("scene: gate", "scene: ''"), "FILE, line 4: cameras.gate.scene: "),
        (GATE + "    restream: http://a/b\n", "FILE, line 5: cameras.gate.restream: cannot be read"),
        (GATE + "    backoff: {first: 9, ceiling: 3}\n", "FILE, line 5: cameras.gate.backoff: first must be at most"),
        (GATE + "    backoff:\n      frst: 9\n", "line 6: cameras.gate.backoff.frst is unknown: did you mean 'first'?"),
        ("defaults:\n  backoff:\n    jiter: 0\n" + GATE, "FILE, line 3: defaults.backoff.jiter is unknown: did you"),
        (GATE + "    frozen_after: .inf\n", "FILE, line 5: cameras.gate.frozen_after: "),
        (GATE + "    blackout_after: 1\n", "cameras.gate.blackout_after is unknown: did you mean 'black_after'?"),
        ("cameras:\n  a: {url: b, schedule: [{start: 7, scene: b}]}\n", "should be a time of day such as 06:30"),
        ("- a\n", "FILE: should hold 'cameras:'"),
        ("", "FILE: should hold 'cameras:'"),
        ("cameras: [\n", "line 2: this is not YAML"),
        (GATE.replace("stream", "${NOWHERE}"), "FILE, line 3: the environment has no variable NOWHERE"),
        (GATE.replace("stream", "${file:/nowhere/x}"), "line 3: the secret file /nowhere/x cannot be read"),
        (
            "cameras:\n  a: {url: b, schedule: [{start: '20:00', scene: b}, {start: '06:00', scene: c}]}\n",
            "must ascend",
        ),
        ("cameras:\n  a:\n    url: b\n    schedule:\n      - {start: '20:00', scen: b}\n", "line 5"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in complaint(tmp_path, text)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load_cameras(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "place",
    [
        "url: [{}]",
        "scene: b\n    url: x{}",
        "restream: {}x\n    url: b",
        "url: a\n    scene: b\n    transport: {}",
        "url: {}\n    every: x",
    ],
)
def test_a_secret_is_in_no_message(tmp_path: Path, place: str) -> None:
    text = "cameras:\n  gate:\n    " + place.format("${PLANTED}") + "\n"
    assert "hunter2" not in complaint(tmp_path, text, {"PLANTED": "rtsp://u:hunter2@h/"})


def test_what_becomes_of_labels_is_set_once_for_all_cameras(tmp_path: Path) -> None:
    plain = load_file(written(tmp_path, GATE), {}).teaching
    assert (plain.fit, plain.wait, plain.shadow, plain.promote, plain.most_bytes) == (
        *("auto", 600.0, 3600.0, "by hand"),
        2 * 2**30,
    )
    text = "teaching:\n  fit: by hand\n  wait: 5m\n  shadow: 2h\n  promote: auto\n" + GATE
    found = load_file(written(tmp_path, text), {}).teaching
    assert (found.fit, found.wait, found.shadow, found.promote) == ("by hand", 300.0, 7200.0, "auto")
    assert "line 2" in complaint(tmp_path, "teaching:\n  shado: 2h\n" + GATE)
    assert "did you mean 'shadow'?" in complaint(tmp_path, "teaching:\n  shado: 2h\n" + GATE)
    assert "teaching.promote" in complaint(tmp_path, "teaching:\n  promote: always\n" + GATE)
