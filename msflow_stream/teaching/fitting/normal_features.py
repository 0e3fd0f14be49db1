"""The features of the normal footage that a scene was fitted on, kept so that it can learn more later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from msflow_stream.config.settings import Settings
from msflow_stream.files import make_folder, replaced
from msflow_stream.scenes.feature_cache import Cache
from msflow_stream.scenes.features import NormalFeatures
from msflow_stream.scenes.scene import Scene
from msflow_stream.series import batched
from msflow_stream.teaching.layout import normal_folder
from msflow_stream.types import UserError

FILE = "features.safetensors"
MOST_BYTES = 256 * 2**20
HELD_OUT = 0.4  # of what is kept may be held-out frames
RUN = 50  # held-out frames that stay together: scores are smoothed over time
BATCH = 32
VALUE_BYTES = 2  # float16


def keep_normal(folder: Path, scene: Scene, footage: NormalFeatures) -> None:
    """Keeps a bounded part of a fit's features beside the scene in `folder`, and what was kept before goes.

    Fitted frames are spread evenly over all that there were; held-out ones are in runs, which are.

    Raises:
        OSError: it cannot be written.
    """
    path = normal_folder(folder) / FILE
    positions = chosen(footage, scene.settings.fit.keep)
    if not positions:
        path.unlink(missing_ok=True)
        return
    held_out = set(footage.held_out)
    moving = [place for place, position in enumerate(positions) if position in footage.motion]
    tensors = {f"scale.{number}": scale for number, scale in enumerate(_gathered(footage.cache, positions))}
    if moving:
        fields = np.stack([footage.motion[positions[place]] for place in moving])
        tensors |= {"motion": torch.from_numpy(fields).half(), "moving": torch.tensor(moving)}
    facts = {
        "made_by": _made_by(scene.settings),
        "frames": [footage.frames[position] for position in positions],
        "held_out": [place for place, position in enumerate(positions) if position in held_out],
    }
    make_folder(path.parent)
    with replaced(path) as partial:
        save_file(tensors, partial, {"facts": json.dumps(facts)})


def add_normal(folder: Path, scene: Scene, footage: NormalFeatures) -> None:
    """Adds what is kept beside the scene in `folder` to footage, behind what it has.

    Raises:
        UserError: nothing is kept, or what is belongs to another backbone or another size.
    """
    path = normal_folder(folder) / FILE
    again = f"fit it again (`msflow-stream fit ... --scene {folder.name} --overwrite`)"
    first = len(footage.frames)
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            if facts["made_by"] != _made_by(scene.settings):
                raise UserError(f"the kept features of scene {folder.name} are of another backbone or input: {again}")
            frames = [(str(name), int(index), float(time)) for name, index, time in facts["frames"]]
            scales = [file.get_slice(f"scale.{number}") for number in range(len(scene.settings.model.stages))]
            for places in batched(range(len(frames)), BATCH):
                footage.cache.add([scale[places[0] : places[-1] + 1].permute(0, 3, 1, 2) for scale in scales])
            footage.frames += frames
            footage.held_out += [first + int(place) for place in facts["held_out"]]
            if "motion" in file.keys():  # noqa: SIM118  no mapping
                moving, fields = file.get_tensor("moving"), file.get_tensor("motion").float().numpy()
                footage.motion |= dict(zip((first + moving).tolist(), fields, strict=True))
    except FileNotFoundError:
        raise UserError(f"scene {folder.name} keeps no features of its normal footage: {again}") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: {again}") from None


def chosen(footage: NormalFeatures, most: int) -> list[int]:
    """Returns the positions of the frames that are kept, ascending: at most so many, and MOST_BYTES in all."""
    if not most or not footage.frames:
        return []
    values = sum(scale[0].numel() for scale in footage.cache.batch([0]))
    most = min(most, MOST_BYTES // (values * VALUE_BYTES))
    fitted, held_out = footage.fitted, footage.held_out
    apart = min(len(held_out), max(int(HELD_OUT * most), most - len(fitted)))
    return sorted([*_spread(fitted, most - apart), *_runs(held_out, apart)])


def _spread(positions: Sequence[int], most: int) -> list[int]:
    """At most so many, evenly."""
    if len(positions) <= most:
        return list(positions)
    return [positions[at * len(positions) // most] for at in range(most)]


def _runs(positions: Sequence[int], most: int) -> list[int]:
    """At most so many, in runs of RUN that are spread evenly."""
    if len(positions) <= most:
        return list(positions)
    runs = list(batched(positions, RUN))
    return [one for at in _spread(range(len(runs)), most // RUN) for one in runs[at]]


def _gathered(cache: Cache, positions: Sequence[int]) -> Iterable[Tensor]:
    """N H W C of every scale, float16."""

    def parts() -> Iterator[list[Tensor]]:
        for some in batched(positions, BATCH):
            yield [scale.permute(0, 2, 3, 1).half().cpu() for scale in cache.batch(some)]

    return (torch.cat(scale).contiguous() for scale in zip(*parts(), strict=True))


def _made_by(settings: Settings) -> dict[str, Any]:
    """What the features of a frame depend on."""
    names = {"backbone", "weights", "weights_seed", "stages", "padding", "pool", "pool_kernel"}
    return {
        "input": settings.input.model_dump(mode="json"),
        "model": settings.model.model_dump(mode="json", include=names),
    }
