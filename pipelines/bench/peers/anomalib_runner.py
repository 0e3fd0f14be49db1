"""A script for anomalib's own environment: its models are fitted, and run by its OpenVINO inferencer over videos.

It is started with a request and a place for its answer (both JSON files), and imports nothing of ours.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import numpy.typing as npt

Request = dict[str, Any]
Answer = dict[str, Any]
Image = npt.NDArray[np.uint8]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
PADIM_FEATURES = 100  # of all channels, as the paper has for resnet18
PATCHCORE_SHARE = 0.01  # of the patches that are kept; the paper's ablation goes down to it


def main() -> None:
    """Does what the request says, and writes the answer: results, or the reason why there are none."""
    request: Request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = TASKS[request["task"]](request)
    except Exception as error:  # of whatever kind: it is the reason that the table shows
        cause = error.__cause__ or error  # an exporter says what it was doing, and its cause what went wrong
        answer = {"reason": COLOURS.sub("", str(cause).strip() or type(cause).__name__).splitlines()[0]}
    answer["peak_bytes"] = _peak_memory()
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def fit(request: Request) -> Answer:
    """Fits a model on the sampled frames of all sources and exports it to OpenVINO; answers with its file."""
    import torch

    torch.manual_seed(request["seed"])
    torch.set_num_threads(request["threads"])
    started = time.perf_counter()
    frames = [image for source in request["sources"] for _, image in _sampled(source, request)]
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)  # N 3 H W
    model = _model(request).train()
    passes = FITS[request["peer"]](model)
    generator = torch.Generator().manual_seed(request["seed"])
    for _ in range(1 if passes is None else request["passes"]):
        for chosen in torch.split(torch.randperm(len(images), generator=generator), request["batch"]):
            batch = model.pre_processor.transform(images[chosen].float().div(255))
            if passes is None:
                model.model(batch)  # remembers the features
            else:
                passes(batch)
    _finish(model)
    seconds = time.perf_counter() - started
    path = model.eval().to_openvino(request["folder"], input_size=tuple(request["size"]))
    return {"model": str(path), "frames": len(images), "seconds": seconds}


def score(request: Request) -> Answer:
    """Scores the sampled frames of all sources with anomalib's inferencer, frame by frame as they are decoded."""
    from anomalib.deploy import OpenVINOInferencer

    started = time.perf_counter()
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": request["threads"]}
    inferencer = OpenVINOInferencer(request["model"], device="CPU", config=config)
    load = time.perf_counter() - started
    for _, image in islice(_sampled(request["sources"][0], request), request["warm_up"]):
        inferencer.predict(image)
    clips = []
    wall, cpu = time.perf_counter(), time.process_time()
    for source in request["sources"]:
        counted = [0]
        scored = [
            (index, float(np.asarray(inferencer.predict(image).pred_score).item()))
            for index, image in _sampled(source, request, counted)
        ]
        clips.append({"frames": counted[0], "scored": scored})
    return {
        "load_seconds": load,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "clips": clips,
    }


def _sampled(source: Any, request: Request, counted: list[int] | None = None) -> Iterator[tuple[int, Image]]:
    """The sampled frames of a video or a list of image files, resized, RGB; counts all frames on the way."""
    height, width = request["size"]
    for index, image in _files(source, request["every"]) if isinstance(source, list) else _video(source, request):
        if counted is not None:
            counted[0] = index + 1
        if image is not None:
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            yield index, np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


def _video(source: str, request: Request) -> Iterator[tuple[int, Any]]:
    """Every frame's index, and its image (BGR) where it is sampled: others are decoded but not converted."""
    capture, index = cv2.VideoCapture(source), 0
    try:
        while capture.grab():
            yield index, capture.retrieve()[1] if index % request["every"] == 0 else None
            index += 1
    finally:
        capture.release()


def _files(source: list[str], every: int) -> Iterator[tuple[int, Any]]:
    for index, path in enumerate(source):
        yield index, cv2.imread(path, cv2.IMREAD_COLOR) if index % every == 0 else None


def _model(request: Request) -> Any:
    """The peer's model with the weights that are given for its backbone, without parts that touch its scores."""
    import timm
    from anomalib.models import Fastflow, Padim, Patchcore, Stfpm
    from anomalib.pre_processing import PreProcessor
    from safetensors.torch import load_file
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    stages, backbone, peer = request["stages"], request["backbone"], request["peer"]
    create: Any = timm.create_model
    parts: dict[str, Any] = {
        "backbone": backbone,
        "pre_processor": PreProcessor(
            Compose([Resize(tuple(request["size"]), antialias=True), Normalize(request["mean"], request["std"])])
        ),
        "post_processor": False,  # it would cut scores off at 0 and 1
        "evaluator": False,
        "visualizer": False,
    }
    channels = sum(create(backbone, features_only=True, out_indices=stages).feature_info.channels())
    makers: dict[str, Callable[[], Any]] = {
        "padim": lambda: Padim(layers=stages, pre_trained=False, n_features=min(PADIM_FEATURES, channels), **parts),
        "patchcore": lambda: Patchcore(
            layers=stages[1:], pre_trained=False, coreset_sampling_ratio=PATCHCORE_SHARE, **parts
        ),
        "stfpm": lambda: Stfpm(layers=stages, **parts),
        "fastflow": lambda: Fastflow(pre_trained=False, **parts),
    }
    with mock.patch.object(timm, "create_model", lambda *args, **options: create(*args, **options | OFFLINE)):
        model = makers[peer]()
    extractor = model.model.teacher_model if peer == "stfpm" else model.model.feature_extractor
    network = getattr(extractor, "feature_extractor", extractor)
    foreign = network.load_state_dict(load_file(request["weights"]), strict=False).unexpected_keys
    if foreign:  # what is missing belongs to stages that nobody asks for
        raise ValueError(f"the weights of {backbone} have other names here: {foreign[0]}")
    return model


def _trained(model: Any) -> Callable[[Any], None]:
    """A step of training: loss and optimizer are the peer's own."""
    optimizer = model.configure_optimizers()

    def step(batch: Any) -> None:
        loss = model.loss(*model.model(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _finish(model: Any) -> None:
    """Does what is left to do when all features are remembered; nothing for what is trained."""
    if hasattr(model.model, "gaussian"):
        model.model.fit()
    elif hasattr(model.model, "memory_bank"):
        model.model.subsample_embedding(PATCHCORE_SHARE)


def _peak_memory() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # of this program alone
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


OFFLINE = {"pretrained": False}  # weights are given
TASKS = {"fit": fit, "score": score}
FITS: dict[str, Callable[[Any], Callable[[Any], None] | None]] = {
    "padim": lambda model: None,
    "patchcore": lambda model: None,
    "stfpm": _trained,
    "fastflow": _trained,
}

if __name__ == "__main__":
    main()
