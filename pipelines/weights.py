"""`weights`: lists backbones that need no network, fetches one for later, verifies a file."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor

from msflow_stream.files import file_hash, replaced
from msflow_stream.model.packaged import BACKBONE, SHA256, weights_file
from msflow_stream.model.pyramid import Pyramid, load_weights
from msflow_stream.types import UserError

from .terminal.consoles import summary_console
from .terminal.listing import Form, print_rows
from .terminal.progress import table

MIB = 2**20


def list_weights(form: Form = "table") -> None:
    """Prints the backbones whose pretrained weights are here: the installed one, and timm's in the cache."""
    here = [(BACKBONE, weights_file()), *((name, path) for name, path in cached() if name != BACKBONE)]
    if form != "table":
        found = [{"backbone": name, "bytes": path.stat().st_size, "file": path} for name, path in here]
        print_rows(Console(), form, ("backbone", "bytes", "file"), found)
        return
    rows = [[name, _size(path), str(path)] for name, path in here]
    columns = ["model.backbone", "MiB", "file"]
    Console().print(table("pretrained weights on this machine", columns, rows, f"cache: {constants.HF_HUB_CACHE}"))


def cached() -> list[tuple[str, Path]]:
    """Name and file of every timm backbone whose default weights are in the cache, by name."""
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    found = []
    for repository in repositories:
        name = repository.repo_id.partition("/")[2].partition(".")[0]  # timm/resnet18.a1_in1k
        known = timm.models.get_pretrained_cfg(name) if name in timm.list_models() else None
        if known is None or known.hf_hub_id != repository.repo_id:
            continue  # no backbone, or other weights than those that `pretrained` means
        files = [file.file_path for revision in repository.revisions for file in revision.files]
        found += [(name, path) for path in files if path.name == "model.safetensors"][:1]
    return sorted(found)


def fetch(backbone: str, out: Path | None, overwrite: bool = False) -> None:
    """Downloads a backbone's weights into the cache, for later without a network; `out` is a copy to carry elsewhere.

    Raises:
        UserError: an unknown backbone, no network, or a file that is there already.
    """
    if out is not None and out.suffix != ".safetensors":
        raise UserError(f"{out} should end with .safetensors")
    if out is not None and out.exists() and not overwrite:
        raise UserError(f"{out} exists already: give --overwrite, or another --out")
    weights = load_weights(backbone, "pretrained")
    if weights is None:
        raise AssertionError("pretrained weights are never none")
    _try(backbone, weights)
    console = summary_console(soft_wrap=True)
    if out is None:
        console.print(f"{backbone} is here: model.backbone={backbone} works without a network now")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(out) as path:
        save_file({name: value.contiguous() for name, value in weights.items()}, path)
    console.print(f"{out}, SHA-256 {file_hash(out)}")
    console.print(f"use it with --set model.backbone={backbone} --set model.weights={out}")


def check(backbone: str, file: Path | None, sha256: str | None) -> None:
    """Verifies that a file holds the weights of a backbone, undamaged; without a file, those that `pretrained` means.

    Raises:
        UserError: it does not, or has another hash.
    """
    path = file or _own(backbone)
    weights = load_weights(backbone, "pretrained" if file is None else str(file))
    if weights is None:
        raise UserError("random weights have no file to check")
    expected = sha256 or (SHA256 if file is None and backbone == BACKBONE else None)
    found = file_hash(path)
    if expected is not None and found != expected.lower():
        raise UserError(f"{path} is not the file expected: its SHA-256 is {found}, not {expected.lower()}")
    _try(backbone, weights)
    console = summary_console(soft_wrap=True)
    console.print(f"{path}: weights of {backbone}, {sum(w.numel() for w in weights.values()) / 1e6:.2f} million values")
    console.print(f"SHA-256 {found}" + ("" if expected is None else ", as expected"))


def _own(backbone: str) -> Path:
    """The file of the weights that `pretrained` means."""
    if backbone == BACKBONE:
        return weights_file()
    here = dict(cached())
    if backbone not in here:
        raise UserError(f"no weights of {backbone} are here: `msflow-stream weights fetch {backbone}`, or name a file")
    return here[backbone]


def _try(backbone: str, weights: dict[str, Tensor]) -> None:
    """Says what is wrong with weights, if anything is."""
    broken = [name for name, value in weights.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise UserError(f"the weights are damaged: {broken[0]} is not finite")
    Pyramid(backbone, weights, stages=(1, 2, 3), padding="zeros")


def _size(path: Path) -> str:
    return f"{path.stat().st_size / MIB:.1f}"
