"""cameras.yaml: defaults, secrets, schedules, and mistakes that name their line."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from msflow_stream.cameras import Camera, json_schema, load_cameras
from msflow_stream.types import UserError

EXAMPLE = Path(__file__).resolve().parents[1] / "configs" / "cameras.example.yaml"
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


def test_the_example_loads(tmp_path: Path) -> None:
    secret = tmp_path / "yard"
    secret.write_text("s3cret\n")
    text = EXAMPLE.read_text().replace("/run/secrets/yard", str(secret))
    cameras = load_cameras(written(tmp_path, text), {"GATE_PASSWORD": "pa$$"})
    assert list(cameras) == ["gate", "yard", "desk"]
    assert cameras["gate"].url.get_secret_value() == "rtsp://viewer:pa$$@192.0.2.10:554/stream1"
    assert cameras["yard"].url.get_secret_value() == "rtsp://viewer:s3cret@192.0.2.11/stream"
    assert cameras["desk"].url.get_secret_value() == "0"
    assert cameras["yard"].scenes == ("yard-day", "yard-night")
    assert "s3cret" not in repr(cameras)


def test_the_example_fits_the_schema() -> None:
    jsonschema.validate(yaml.safe_load(EXAMPLE.read_text().replace("url: 0", "url: '0'")), json_schema())


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
        ("cameras:\n  ../up: {url: a, scene: b}\n", "'../up' is no name for a camera"),
        ("cameras: {}\n", "line 1: cameras: "),
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


@pytest.mark.parametrize("place", ["url: [{}]", "url: a\n    scene: b\n    transport: {}", "url: {}\n    every: x"])
def test_a_secret_is_in_no_message(tmp_path: Path, place: str) -> None:
    text = "cameras:\n  gate:\n    " + place.format("${PLANTED}") + "\n"
    assert "hunter2" not in complaint(tmp_path, text, {"PLANTED": "rtsp://u:hunter2@h/"})
