"""The feature pyramid: stages of a frozen ImageNet backbone, pooled once."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.packaged import BACKBONE, packaged_weights
from msflow_stream.types import UserError

log = logging.getLogger(__name__)

Colour = tuple[float, float, float]
Padding = Literal["reflect", "zeros"]
Pool = Literal["avg", "max", "none"]


class Pyramid(nn.Module):
    """The network from images (B 3 H W, normalised) to pooled features (B C_l H_l W_l), finest first.

    The backbone is frozen: no gradients, always in eval mode.

    Args:
        backbone: a timm model that offers `features_only`.
        weights: a state dict of the whole model, or None for whatever `seed` draws.
        stages: which stages, 1 is the one at stride 4.
        padding: `reflect` replaces zero padding in all convolutions, as the paper does, and TensorFlow's asymmetrical
            padding by a symmetrical one: the same function of what is around a place, at places that lie elsewhere.
        pool: the pooling before the flows, of odd kernel `pool_kernel` and stride 2.
        seed: of the weights where none are given.

    Raises:
        UserError: unknown backbone, stages it lacks, or a padding it cannot have.
    """

    def __init__(
        self,
        backbone: str,
        weights: dict[str, Tensor] | None = None,
        stages: Sequence[int] = (1, 2, 3),
        padding: Padding = "reflect",
        pool: Pool = "avg",
        pool_kernel: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.pool, self.pool_kernel = pool, pool_kernel
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone, self.channels = _create(backbone, stages, weights)
        if padding == "reflect":
            _reflect(self.backbone)
        self.to(memory_format=torch.channels_last)  # pointwise and depthwise convolutions are faster so
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Pyramid:
        """Stays in eval mode whatever is asked."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the pooled features of every scale."""
        return [
            self.pooled(features) for features in self.backbone(images.contiguous(memory_format=torch.channels_last))
        ]

    def pooled(self, x: Tensor) -> Tensor:
        """Returns the features of one stage, pooled as the flows take them."""
        if self.pool == "none":
            return x
        kernel, padding = self.pool_kernel, self.pool_kernel // 2
        return (F.avg_pool2d if self.pool == "avg" else F.max_pool2d)(x, kernel, stride=2, padding=padding)


def load_weights(backbone: str, weights: str) -> dict[str, Tensor] | None:
    """Returns the state dict that a setting names: `pretrained`, `random` (None), or a file.

    Pretrained weights are those of an installed package for the default backbone, and timm's download, or what is left
    of an earlier one, for others.

    Files are .safetensors, or .pth/.pt/.bin read with `weights_only`: nothing in them is executed.

    Raises:
        UserError: no network and nothing cached, a missing or foreign file.
    """
    if weights == "random":
        return None
    if weights == "pretrained":
        return packaged_weights() if backbone == BACKBONE else _download(backbone)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"no weights at {path}: model.weights is 'pretrained', 'random' or a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path} is not a file of weights ({type(error).__name__}): give .safetensors or .pth"
        ) from None
    return dict(state.get("state_dict", state))


def _download(backbone: str) -> dict[str, Tensor]:
    import timm
    from huggingface_hub import constants, get_session

    cached = _cached(backbone)
    if cached is not None:
        return load_file(cached)
    try:
        get_session().head(constants.ENDPOINT, timeout=5)  # offline is said at once, not after the hub's retries
        model = timm.create_model(backbone, pretrained=True)
    except Exception as error:  # what the hub raises differs with its version: OSError, httpx errors, its own
        log.debug("download of %s failed", backbone, exc_info=error)
        raise UserError(
            f"cannot download the weights of {backbone}: give a file with --set model.weights=FILE.safetensors, "
            f"or take {BACKBONE}, whose weights are installed"
        ) from None
    return dict(model.state_dict())


def normalisation(backbone: str) -> tuple[Colour, Colour]:
    """Returns mean and deviation (red, green, blue; white is 1) of the images that timm's weights were trained on.

    Raises:
        UserError: an unknown backbone.
    """
    known = _known(backbone)
    return known.mean, known.std


def _cached(backbone: str) -> str | None:
    """The file of an earlier download, so that a machine without a network can use it."""
    from huggingface_hub import try_to_load_from_cache

    repository = _known(backbone).hf_hub_id
    found = try_to_load_from_cache(repository, "model.safetensors") if repository else None
    return found if isinstance(found, str) else None


def _known(backbone: str) -> Any:
    """What timm knows of the backbone's weights."""
    import timm

    known = timm.models.get_pretrained_cfg(backbone)
    if known is None:
        raise _unknown(backbone)
    return known


def _unknown(backbone: str) -> UserError:
    import timm

    near = difflib.get_close_matches(backbone, timm.list_models(), n=3, cutoff=0.5)
    hint = f"; near: {', '.join(near)}" if near else ""
    return UserError(f"timm has no backbone {backbone!r} with features_only{hint}")


def _create(name: str, stages: Sequence[int], weights: dict[str, Tensor] | None) -> tuple[nn.Module, list[int]]:
    import timm  # slow

    try:
        with torch.device("meta"):
            whole: Any = timm.create_model(name, features_only=True)
    except (RuntimeError, AttributeError):
        raise _unknown(name) from None
    info, own = whole.feature_info, whole.state_dict().keys()
    strides = list(info.reduction())
    wanted = [2 ** (stage + 1) for stage in stages]
    missing = [stage for stage, stride in zip(stages, wanted, strict=True) if stride not in strides]
    if missing:
        have = [stage for stage in (1, 2, 3, 4) if 2 ** (stage + 1) in strides]
        raise UserError(f"{name} has no stage {missing[0]}: it has {have}")
    indices = [strides.index(stride) for stride in wanted]
    extra: dict[str, Any] = {}
    if weights is not None:
        _check(name, weights)
        if own <= weights.keys():  # else timm has other names for them, and warns of what it has no use for
            weights = {key: weights[key] for key in own}
        # timm's own loading renames keys for features_only models and drops the classifier.
        extra = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": weights, "source": None}}
    model = timm.create_model(name, features_only=True, out_indices=indices, **extra)
    _cut(model)
    return model, [info.channels()[i] for i in indices]


def _cut(model: Any) -> None:
    """Removes the blocks behind the last wanted stage, which timm's mobile networks keep and compute for nothing."""
    names = model.feature_info.module_name()
    if isinstance(getattr(model, "blocks", None), nn.Sequential) and all(
        re.fullmatch(r"blocks\.\d+", n) for n in names
    ):
        model.blocks = model.blocks[: 1 + max(int(name.removeprefix("blocks.")) for name in names)]


def _check(name: str, weights: dict[str, Tensor]) -> None:
    import timm

    with torch.device("meta"):
        expected = timm.create_model(name).state_dict()
    for key, value in expected.items():
        if key.startswith(("fc.", "classifier.", "head.")) or key.endswith("num_batches_tracked"):
            continue
        if key not in weights or weights[key].shape != value.shape:
            found = f"shape {tuple(weights[key].shape)}" if key in weights else "nothing"
            raise UserError(f"the weights are not those of {name}: {key} should be {tuple(value.shape)}, found {found}")


def _reflect(model: nn.Module) -> None:
    from timm.layers.conv2d_same import Conv2dSame

    for name, module in list(model.named_modules()):
        if isinstance(module, Conv2dSame):
            model.set_submodule(name, _symmetrical(module))
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and any(p != 0 for p in module.padding):
            module.padding_mode = "reflect"


def _symmetrical(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, padded by half of its kernel on all sides: every output is centred on a pixel."""
    (y, x), (down, right) = convolution.kernel_size, convolution.dilation
    symmetrical = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (y, x),
        convolution.stride,  # type: ignore[arg-type]  # a pair
        (down * (y // 2), right * (x // 2)),
        (down, right),
        convolution.groups,
        bias=convolution.bias is not None,
    )
    symmetrical.weight, symmetrical.bias = convolution.weight, convolution.bias
    return symmetrical
