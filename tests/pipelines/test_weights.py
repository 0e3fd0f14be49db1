"""`weights`: what is here, fetching for later, and telling a good file from a bad one."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from msflow_stream.model.packaged import BACKBONE, weights_file
from msflow_stream.model.pyramid import Pyramid, load_weights
from tests.support.command import Command

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOBODY)
    return folder


def store(cache: Path, where: str, backbone: str = "test_resnet") -> Path:
    """Puts weights where a download would."""
    torch.manual_seed(1)
    snapshot = cache / f"models--{where.replace('/', '--')}" / "snapshots" / "0f"
    snapshot.mkdir(parents=True)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0f")
    save_file(timm.create_model(backbone).state_dict(), snapshot / "model.safetensors")
    return snapshot / "model.safetensors"


def repository() -> str:
    known = timm.models.get_pretrained_cfg("test_resnet")
    assert known is not None
    return str(known.hf_hub_id)


def test_the_installed_backbone_is_listed_without_a_cache(cache: Path, command: Command) -> None:
    outcome = command("weights", "list")
    assert outcome.code == 0
    assert re.search(BACKBONE + r" +\S* ?\d", outcome.out)
    assert "test_resnet" not in outcome.out


def test_what_pretrained_finds_in_the_cache_is_listed_and_nothing_else(cache: Path, command: Command) -> None:
    store(cache, repository())
    store(cache, "timm/test_byobnet.of_another_training", "test_byobnet")
    outcome = command("weights", "list")
    assert outcome.code == 0
    assert "test_resnet" in outcome.out
    assert "test_byobnet" not in outcome.out
    assert load_weights("test_resnet", "pretrained") is not None


def test_fetching_writes_a_copy_that_another_machine_can_use(cache: Path, tmp_path: Path, command: Command) -> None:
    source = store(cache, repository())
    out = tmp_path / "carried" / "test_resnet.safetensors"
    outcome = command("weights", "fetch", "test_resnet", "--out", out)
    assert outcome.code == 0, outcome.err
    assert hashlib.sha256(out.read_bytes()).hexdigest() in outcome.out
    assert f"model.weights={out}" in outcome.out.replace("\n", "")
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    carried = Pyramid("test_resnet", load_weights("test_resnet", str(out)))(images)
    assert all(
        torch.equal(a, b) for a, b in zip(carried, Pyramid("test_resnet", load_file(source))(images), strict=True)
    )
    again = command("weights", "fetch", "test_resnet", "--out", out)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_fetching_without_a_network_says_so(cache: Path, command: Command) -> None:
    outcome = command("weights", "fetch", "test_resnet")
    assert outcome.code == 2
    assert "cannot download the weights of test_resnet" in outcome.err


def test_fetching_an_unknown_backbone_names_near_ones(cache: Path, command: Command) -> None:
    outcome = command("weights", "fetch", "resnet19")
    assert outcome.code == 2
    assert "resnet1" in outcome.err.replace("resnet19", "")


def test_a_good_file_passes_the_check(cache: Path, command: Command) -> None:
    path = store(cache, repository())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    outcome = command("weights", "check", "test_resnet", path, "--sha256", digest.upper())
    assert outcome.code == 0, outcome.err
    assert f"{digest}, as expected" in outcome.out
    assert command("weights", "check", "test_resnet").code == 0  # what is in the cache
    installed = command("weights", "check", BACKBONE)
    assert (installed.code, "as expected" in installed.out) == (0, True)


def test_bad_files_fail_the_check(cache: Path, tmp_path: Path, command: Command) -> None:
    good = store(cache, repository())
    wrong = command("weights", "check", "test_byobnet", good)
    assert (wrong.code, "not those of test_byobnet" in wrong.err) == (2, True)
    hashed = command("weights", "check", "test_resnet", good, "--sha256", "00")
    assert (hashed.code, "is not the file expected" in hashed.err) == (2, True)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-1000])
    short = command("weights", "check", "test_resnet", cut)
    assert (short.code, "not a file of weights" in short.err) == (2, True)
    state = load_file(good)
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    broken = command("weights", "check", "test_resnet", tmp_path / "nan.safetensors")
    assert (broken.code, "layer1.0.conv1.weight is not finite" in broken.err) == (2, True)
    missing = command("weights", "check", "resnet50")
    assert (missing.code, "weights fetch resnet50" in missing.err) == (2, True)


def test_a_damaged_package_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "weights.pth"
    content = bytearray(weights_file().read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr("msflow_stream.model.packaged.weights_file", lambda: file)
    monkeypatch.setattr("pipelines.weights.weights_file", lambda: file)
    outcome = command("weights", "check", BACKBONE)
    assert (outcome.code, "is not the file expected" in outcome.err) == (2, True)
