"""The bill of materials is valid CycloneDX, and has all that is required to run a wheel."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

import msflow_stream
from release.required import NOT_STATED, required
from release.sbom import EXTRA, bill

COMMITTED = 1_767_225_600  # the first second of 2026


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "msflow_stream.whl"
    path.write_bytes(b"a wheel")
    return path


@pytest.fixture(scope="module")
def text(wheel: Path) -> str:
    try:
        return bill(wheel, COMMITTED)
    except PackageNotFoundError as error:
        pytest.skip(f"the bill is about Linux on x86-64, with {error.name} too")


@pytest.fixture(scope="module")
def content(text: str) -> Any:
    return json.loads(text)


def test_a_bill_is_valid_cyclonedx(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_a_bill_of_one_wheel_is_always_the_same(text: str, wheel: Path) -> None:
    assert bill(wheel, COMMITTED) == text


def test_a_bill_names_its_wheel_and_what_is_in_it(content: Any, wheel: Path) -> None:
    own = content["metadata"]["component"]
    assert own["purl"] == f"pkg:pypi/msflow-stream@{msflow_stream.__version__}"
    assert own["hashes"] == [{"alg": "SHA-256", "content": sha256(wheel.read_bytes()).hexdigest()}]
    assert [one["name"] for one in own["components"]] == ["uplot"]
    assert content["metadata"]["timestamp"] == "2026-01-01T00:00:00+00:00"


def test_each_component_has_an_address_a_licence_and_what_asks_for_it(content: Any) -> None:
    to_run = {name: one for name, one in required().items() if one.to_run}
    components = {PackageURL.from_string(one["purl"]).name: one for one in content["components"]}
    assert components.keys() == to_run.keys()
    assert components["torch"]["scope"] == "required"
    assert components["psycopg"]["scope"] == "optional"
    assert components["psycopg"]["properties"] == [{"name": EXTRA, "value": "postgres"}]
    without = {name for name, one in components.items() if not one.get("licenses")}
    assert without == {name for name, one in to_run.items() if one.licence == NOT_STATED}
    assert "pytest" not in components


def test_a_component_is_followed_to_what_it_requires(content: Any) -> None:
    graph = {one["ref"]: one.get("dependsOn", []) for one in content["dependencies"]}
    own = content["metadata"]["component"]["bom-ref"]
    assert any(ref.startswith("pkg:pypi/matplotlib@") for ref in graph[own])
    assert not any(ref.startswith("pkg:pypi/cycler@") for ref in graph[own])
    reached, waiting = set(), [own]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert {one["bom-ref"] for one in content["components"]} <= reached
