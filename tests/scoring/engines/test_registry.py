"""The registry of engines: it agrees with the settings and the package's extras, and imports no torch."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name
from typing import get_args

import pytest

from msflow_stream.config.engines import ENGINES, HOME, EngineName
from msflow_stream.scoring.engines.base import Engine


def test_the_settings_name_the_engines_that_there_are() -> None:
    assert get_args(EngineName) == ("auto", *ENGINES)


def test_every_entry_leads_to_the_class_of_its_name() -> None:
    for name, info in ENGINES.items():
        found = resolve_name(f"{HOME}.{info.reference}")
        assert issubclass(found, Engine)
        assert found.name == name


def test_every_extra_installs_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for info in ENGINES.values():
        packages = project["optional-dependencies"][info.extra] if info.extra else project["dependencies"]
        assert any(package.startswith(info.package) for package in packages)


@pytest.mark.parametrize("name", [name for name, info in ENGINES.items() if info.tried])
def test_an_engine_that_is_tried_scores_on_a_cpu(name: EngineName) -> None:
    info = ENGINES[name]
    assert "cpu" in info.devices
    assert set(info.tried) <= set(info.precisions)


def test_the_registry_costs_no_import_of_torch() -> None:
    code = "import sys; import msflow_stream.config.engines; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
