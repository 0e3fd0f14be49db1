"""Every setting of a fit and of scoring, as pydantic models; an unknown key is an error that names the nearest one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from msflow_stream.config.engines import EngineName, EnginePrecision
from msflow_stream.types import ScoreKind

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Fraction = Annotated[float, Field(gt=0, le=1)]
Colour = tuple[float, float, float]  # red, green, blue


class Section(BaseModel):
    """A group of settings: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSettings(Section):
    """The preparation of a frame's pixels for the backbone; stored with the scene."""

    size: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = (256, 384)  # height, width
    # area: of what was decoded, in one cheap step; the others: Pillow's, of the whole image, for stills.
    resize: Literal["area", "lanczos", "box", "bilinear"] = "area"
    mean: Colour | None = None  # None: that of the backbone's training, which the fit finds
    std: Colour | None = None  # the same

    @property
    def normalisation(self) -> tuple[Colour, Colour]:
        """Mean and deviation, where they are known: in a scene they are.

        Raises:
            ValueError: they are still to be found.
        """
        if self.mean is None or self.std is None:
            raise ValueError("mean and std are not known before there is a backbone")
        return self.mean, self.std


class ModelSettings(Section):
    """The backbone and the flows over it."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "pretrained"  # of the default backbone installed, of others downloaded; or random, or a file
    weights_seed: int = 0  # for random weights
    stages: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(min_length=1)] = (1, 2, 3)
    padding: Literal["reflect", "zeros"] = "reflect"
    pool: Literal["avg", "max", "none"] = "avg"
    pool_kernel: Literal[1, 3, 5, 7] = 3
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = (2, 5, 8)
    condition_channels: Annotated[int, Field(ge=0, multiple_of=4)] = 64  # 0: no position condition
    clamp: Annotated[float, Field(gt=0)] = 1.9
    fusion: bool = True
    norm: Literal["layer", "batch", "none"] = "layer"

    @model_validator(mode="after")
    def _one_block_count_per_stage(self) -> ModelSettings:
        if len(self.blocks) != len(self.stages):
            raise ValueError(f"{len(self.stages)} stages need {len(self.stages)} block counts, not {len(self.blocks)}")
        if list(self.stages) != sorted(set(self.stages)):
            raise ValueError("stages must ascend without repetition")
        return self

    @model_validator(mode="after")
    def _a_kernel_only_with_pooling(self) -> ModelSettings:
        if self.pool == "none" and self.pool_kernel != 3:
            raise ValueError(f"pool is none, so pool_kernel={self.pool_kernel} would change nothing")
        return self


class FitSettings(Section):
    """The recipe. Warm-up and milestones are fractions of the passes, so that a shorter fit keeps its shape.

    The defaults are for scenes of video: the paper's settings but for the passes, of which it does 100 on stills
    (configs/mvtec.yaml). Measured on UCSD Ped2 (510 frames, 256x384, MobileNetV2, holdout 0) after 4 and after 8
    passes: loss 0.80 and 0.48, frame AUROC of the paper's score 0.890 and 0.868, pixel AUROC 0.931 and 0.925. More
    passes lowered the loss and did not find more; 8 leave room for scenes with less footage.
    """

    passes: Annotated[int, Field(ge=1)] = 8
    batch: Annotated[int, Field(ge=1)] = 8  # frames per step; on CPUs every 4 of them have a thread, up to the cores
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.12  # linear from a tenth of the learning rate
    milestones: tuple[Fraction, ...] = (0.7, 0.9)  # where the learning rate falls to a third
    clip: Annotated[float, Field(gt=0)] = 2.0  # gradient norm
    precision: Precision = "auto"  # of the convolutions; auto: bfloat16 on GPUs, float16 on those without; else float32
    on_divergence: Literal["stop", "rewind"] = "stop"  # rewind: back to the last pass with half the learning rate
    seed: int = 9826
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.1  # last part of each source, kept for the threshold
    cache_dtype: Literal["float16", "float32"] = "float32"
    cache_memory: Annotated[float, Field(gt=0)] | None = None  # GiB; None: a quarter of the machine's


class ScoreSettings(Section):
    """The way from maps to scores and alarms."""

    kind: ScoreKind = "combined"  # which score thresholds, alarms and events use
    aggregation: Literal["add", "mul"] = "add"  # which map of a single image localises
    alignment: Literal["corners", "centres"] = "centres"  # of maps with the image: the paper's corners shift them
    top_k: Fraction = 0.03
    batch: Annotated[int, Field(ge=1)] = 8
    every: Annotated[int, Field(ge=1)] = 5  # frames are sampled where index % every == 0
    smoothing: Annotated[float, Field(ge=0)] = 0.5  # seconds, time constant of the causal mean; 0: none
    threshold: FiniteFloat | None = None  # None: the scene's own


class EventSettings(Section):
    """The way from scores to events.

    An event begins when a smoothed score stays above its threshold for `min_duration`. From then on there is activity
    until it, or the frame's own score, falls below the leave level, and again whenever it is above the threshold, at a
    place within reach of where it was. After `cool_down` without such activity the event is over, and after a second
    where another kind of score or another place has an event; its end is the last activity.

    A cool-down of 2 s was chosen on three places of the demo (seeds 0 to 2, 4 passes, 18 violations): 16 found by 18
    events, the longest 6.6 s beside a violation of 6.0 s; with 5 s 11 by 11, the longest 24.6 s. With 1 to 3 s the six
    violations of UCSD Ped2's clips stayed one event each (by the speed of optical flow).
    """

    triggers: Annotated[tuple[ScoreKind, ...], Field(min_length=1)] | None = (
        None  # None: score.kind, and surprise unless it is combined
    )
    leave: Annotated[float, Field(ge=0, le=1)] = 0.8  # of the way from the normal median to the threshold
    min_duration: Annotated[FiniteFloat, Field(ge=0)] = 0.4  # seconds
    cool_down: Annotated[FiniteFloat, Field(ge=0)] = 2.0  # seconds

    @field_validator("triggers")
    @classmethod
    def _each_trigger_once(cls, value: tuple[ScoreKind, ...] | None) -> tuple[ScoreKind, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError(f"a kind of score is named twice: {', '.join(value)}")
        return value


class EngineSettings(Section):
    """The engine that runs the networks that score.

    A fit is always PyTorch's; it sets thresholds by scores of PyTorch in float32 on a CPU, by the engine's on a GPU.
    """

    name: EngineName = "auto"  # auto: the fastest that is installed, by a short trial on this machine
    precision: EnginePrecision = "auto"  # auto: the fastest that leaves the scores as they are; never int8


class SceneSettings(Section):
    """The storage of a scene."""

    dtype: Literal["float32", "float16"] = "float32"  # of the weights in model.safetensors


class Settings(Section):
    """All settings. `load` makes them from a file and overrides."""

    input: InputSettings = InputSettings()
    model: ModelSettings = ModelSettings()
    fit: FitSettings = FitSettings()
    score: ScoreSettings = ScoreSettings()
    event: EventSettings = EventSettings()
    engine: EngineSettings = EngineSettings()
    scene: SceneSettings = SceneSettings()

    @field_validator("*", mode="before")
    @classmethod
    def _an_empty_section_is_the_default(cls, value: Any) -> Any:
        return {} if value is None else value
