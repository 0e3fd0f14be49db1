"""Alerts of a type that another installed package brings: its settings, its sink, and mistakes that name their line."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import jsonschema
import pytest
import yaml

from msflow_stream.config.alerts import SETTINGS
from msflow_stream.config.cameras_file import json_schema, load_file
from msflow_stream.events.alerts import AlertDispatcher
from msflow_stream.types import UserError
from tests.events.alerts.messages import life

PACKAGE = """
from typing import Literal

from pydantic import Field, SecretStr

from msflow_stream.config.alerts import AlertSettings
from msflow_stream.events.alerts import AlertMessage, AlertSink


class PigeonSettings(AlertSettings):
    sink = "pigeons:Pigeon"

    type: Literal["pigeon"] = Field(description="what kind of alert it is")
    loft: str = Field(description="folder that it flies to")
    ring: SecretStr | None = Field(default=None, description="of the pigeon")


class Pigeon(AlertSink):
    def write(self, message: AlertMessage) -> None:
        with open(f"{self._settings.loft}/{message.event.id}", "a") as file:
            file.write(message.kind + " ")
"""
CAMERAS = "cameras:\n  gate:\n    url: rtsp://host/stream\n    scene: gate\nalerts:\n  bird:\n    type: pigeon\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a pigeon, installed as far as Python can tell; the folder that it is in."""
    folder = tmp_path / "site"
    points = folder / "pigeons-1.0.dist-info"
    points.mkdir(parents=True)
    (points / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeons\nVersion: 1.0\n")
    (points / "entry_points.txt").write_text("[msflow_stream.alert_sinks]\npigeon = pigeons:PigeonSettings\n")
    (folder / "pigeons.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "pigeons", raising=False)
    return folder


def written(folder: Path, lines: str) -> Path:
    path = folder / "cameras.yaml"
    path.write_text(CAMERAS + lines)
    return path


@pytest.mark.usefixtures("installed")
def test_a_sink_of_another_package_is_told_as_the_cameras_file_says(tmp_path: Path) -> None:
    (tmp_path / "loft").mkdir()
    file = load_file(written(tmp_path, f"    loft: {tmp_path / 'loft'}\n    kinds: [open, close]\n"), {})
    dispatcher = AlertDispatcher(file.alerts, tmp_path / "queues", Random(0), routes={"gate": ["bird"]})
    for message in life(updates=3):
        dispatcher.publish(message, "gate")
    dispatcher.close(60)
    assert (tmp_path / "loft" / "gate-1").read_text() == "open close "
    assert dispatcher.report()["bird"].delivered == 2


@pytest.mark.usefixtures("installed")
def test_its_mistakes_name_their_line_and_its_secrets_do_not_show(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cameras.yaml, line 9: alerts.bird.rign is unknown: did you mean 'ring'\?"):
        load_file(written(tmp_path, "    loft: attic\n    rign: sesame\n"), {})
    with pytest.raises(UserError, match=r"cameras.yaml, line 9: alerts.bird.queue: .*greater than"):
        load_file(written(tmp_path, "    loft: attic\n    queue: 0\n"), {})
    with pytest.raises(UserError, match=r"cameras.yaml, line 6: alerts.bird.loft: Field required"):
        load_file(written(tmp_path, ""), {})
    bird = load_file(written(tmp_path, "    loft: attic\n    ring: sesame\n"), {}).alerts["bird"]
    assert list(bird.secrets()) == ["sesame"]
    assert "sesame" not in repr(bird)


@pytest.mark.usefixtures("installed")
def test_editors_know_it_too(tmp_path: Path) -> None:
    schema = json_schema()
    jsonschema.validate(yaml.safe_load(CAMERAS + "    loft: attic\n"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(CAMERAS + "    lofd: attic\n"), schema)


def test_a_package_that_cannot_be_loaded_is_a_mistake_of_one_line(tmp_path: Path, installed: Path) -> None:
    (installed / "pigeons.py").write_text("import feathers\n")
    message = r"line 6: alerts.bird: .*'pigeon' need pigeons:PigeonSettings, .*: ModuleNotFoundError: .*'feathers'$"
    with pytest.raises(UserError, match=message):
        load_file(written(tmp_path, "    loft: attic\n"), {})
    (installed / "pigeons.py").write_text("class PigeonSettings: pass\n")
    with pytest.raises(UserError, match=r"line 6: .* it is no AlertSettings$"):
        load_file(written(tmp_path, "    loft: attic\n"), {})


def test_a_sink_that_is_not_there_is_a_mistake_of_one_line(tmp_path: Path, installed: Path) -> None:
    (installed / "pigeons.py").write_text(PACKAGE.replace("pigeons:Pigeon", "pigeons:Dove"))
    file = load_file(written(tmp_path, "    loft: attic\n"), {})
    with pytest.raises(UserError, match=r"^alert bird: its sink cannot be loaded: .*'Dove'$"):
        AlertDispatcher(file.alerts, tmp_path / "queues", Random(0), routes={})


def test_without_the_package_its_type_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"line 6: alerts.bird: .*{', '.join(map(repr, SETTINGS))}"):
        load_file(written(tmp_path, "    loft: attic\n"), {})
