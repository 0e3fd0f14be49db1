"""The feature pyramid: stages, padding, pooling, and where weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from msflow_stream.model.pyramid import Pyramid, load_weights
from msflow_stream.types import UserError
from tests.support import data

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def saved_resnet(path: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    state = timm.create_model("resnet18").state_dict()
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return dict(state)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_weights_from_a_file_give_timm_s_own_features(name: str, tmp_path: Path) -> None:
    state = saved_resnet(tmp_path / name)
    model = timm.create_model("resnet18").eval()
    model.load_state_dict(state)
    expected = model.forward_intermediates(IMAGES, indices=[1, 2, 3], intermediates_only=True)
    weights = load_weights("resnet18", str(tmp_path / name))
    found = Pyramid("resnet18", weights, padding="zeros", pool="none")(IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "mobilenetv3_small_050", "efficientnet_b0"])
def test_blocks_behind_the_last_stage_are_not_computed(name: str) -> None:
    pyramid = Pyramid(name, None, stages=(1, 2), padding="zeros", pool="none")
    with torch.random.fork_rng():
        torch.manual_seed(0)  # as the pyramid's own seed
        whole = timm.create_model(name, features_only=True, out_indices=(1, 2)).eval()
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for found, expected in zip(pyramid(images), whole(images), strict=True):
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert len(pyramid.backbone.blocks) < len(whole.blocks)  # type: ignore[arg-type]


def test_stages_are_those_at_strides_4_to_32() -> None:
    assert Pyramid("resnet18", stages=(1, 2, 3, 4)).channels == [64, 128, 256, 512]
    assert Pyramid("mobilenetv2_100", stages=(1, 3)).channels == [24, 96]
    assert [tuple(f.shape[2:]) for f in Pyramid("resnet18", stages=(2,), pool="none")(IMAGES)] == [(8, 12)]


def test_pooling_counts_its_padding_in_the_mean() -> None:
    plain = Pyramid("resnet18", pool="none")(IMAGES)
    for pool, kernel in (("avg", 3), ("max", 5), ("avg", 1)):
        pooled = Pyramid("resnet18", pool=pool, pool_kernel=kernel)(IMAGES)
        if pool == "avg":
            ones = torch.ones(1, 1, kernel, kernel) / kernel**2
            expected = [F.conv2d(f[:, :1], ones, stride=2, padding=kernel // 2) for f in plain]
        else:
            expected = [F.max_pool2d(f[:, :1], kernel, 2, kernel // 2) for f in plain]
        assert all(torch.allclose(a[:, :1], b, atol=1e-5) for a, b in zip(pooled, expected, strict=True))


def test_reflect_padding_reflects_in_every_convolution() -> None:
    reflected, zeros = Pyramid("resnet18", pool="none"), Pyramid("resnet18", pool="none", padding="zeros")
    stem = reflected.backbone.conv1
    padded = F.pad(IMAGES, (3, 3, 3, 3), mode="reflect")
    assert torch.allclose(stem(IMAGES), F.conv2d(padded, stem.weight, stride=2), atol=1e-5)
    inner = [f[..., 4:-4, 5:-5] for f in (reflected(IMAGES)[0], zeros(IMAGES)[0])]
    assert not torch.allclose(reflected(IMAGES)[0], zeros(IMAGES)[0])
    assert torch.allclose(*inner, atol=1e-4), "away from the border padding should make no difference in stage 1"


def test_the_backbone_is_frozen_and_stays_in_eval_mode() -> None:
    pyramid = Pyramid("resnet18").train()
    before = {name: value.clone() for name, value in pyramid.state_dict().items()}
    assert not any(f.requires_grad for f in pyramid(IMAGES))
    assert not any(module.training for module in pyramid.modules())
    assert all(torch.equal(before[name], value) for name, value in pyramid.state_dict().items())


def test_random_weights_depend_on_their_seed_alone() -> None:
    torch.manual_seed(1)
    first = Pyramid("resnet18", seed=3)(IMAGES)[0]
    torch.manual_seed(2)
    assert torch.equal(first, Pyramid("resnet18", seed=3)(IMAGES)[0])
    assert not torch.equal(first, Pyramid("resnet18", seed=4)(IMAGES)[0])


def test_real_weights_load(tmp_path: Path) -> None:
    file = data.test_data() / "weights" / "mobilenetv2_100.imagenet.safetensors"
    pyramid = Pyramid("mobilenetv2_100", load_weights("mobilenetv2_100", str(file)))
    assert [tuple(f.shape[1:]) for f in pyramid(IMAGES)] == [(24, 8, 12), (32, 4, 6), (96, 2, 3)]


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    weights = saved_resnet(tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"not those of resnet34: layer1\.2"):
        Pyramid("resnet34", weights)


@pytest.mark.parametrize(
    ("backbone", "keywords", "message"),
    [
        ("resnet19", {}, "no backbone 'resnet19'.*near: .*resnet1"),
        ("resnet18", {"stages": (5,)}, "no stage 5: it has"),
    ],
)
def test_what_a_backbone_cannot_do_is_said(backbone: str, keywords: dict[str, tuple[int]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Pyramid(backbone, **keywords)  # type: ignore[arg-type]


def test_a_file_that_is_no_weights_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")  # a pickle that would run a command
    with pytest.raises(UserError, match="not a file of weights"):
        load_weights("resnet18", str(tmp_path / "w.pth"))
    with pytest.raises(UserError, match="no weights at"):
        load_weights("resnet18", str(tmp_path / "missing.safetensors"))


def test_pretrained_weights_without_a_network_name_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UserError, match=r"model\.weights=FILE.*, or take tf_efficientnet_lite0, whose weights are"):
        load_weights("resnet18", "pretrained")
