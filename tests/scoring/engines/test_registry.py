"""The registry of engines: it agrees with the settings and the package's extras, and imports no torch."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from msflow_stream.config.engines import ENGINES, EngineName
from msflow_stream.scoring.engines.onnx_engine import OnnxRuntimeEngine, TensorRtEngine
from msflow_stream.scoring.engines.openvino_engine import OpenVinoEngine
from msflow_stream.scoring.engines.torch_engine import CompileEngine, TorchEngine

CLASSES = (TorchEngine, CompileEngine, OpenVinoEngine, OnnxRuntimeEngine, TensorRtEngine)


def test_the_settings_name_the_engines_that_there_are() -> None:
    assert get_args(EngineName) == ("auto", *ENGINES)


def test_every_entry_leads_to_the_class_of_its_name() -> None:
    assert {one.name: one.__name__ for one in CLASSES} == {
        name: info.reference.partition(":")[2] for name, info in ENGINES.items()
    }


def test_every_extra_installs_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for info in ENGINES.values():
        packages = project["optional-dependencies"][info.extra] if info.extra else project["dependencies"]
        assert any(package.startswith(info.package) for package in packages)


@pytest.mark.parametrize("name", ["torch", "openvino", "onnxruntime"])
def test_an_engine_that_is_tried_scores_on_a_cpu(name: EngineName) -> None:
    info = ENGINES[name]
    assert "cpu" in info.devices
    assert set(info.tried) <= set(info.precisions)


def test_the_registry_costs_no_import_of_torch() -> None:
    code = "import sys; import msflow_stream.scoring.engines; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
