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

    size: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = Field(
        default=(256, 384), description="height and width that frames are brought to"
    )
    resize: Literal["area", "lanczos", "box", "bilinear"] = Field(
        default="area",
        description="area: of what was decoded, in one step; the others: Pillow's, of the whole image, for stills",
    )
    mean: Colour | None = Field(
        default=None, description="mean of each colour; null: that of the backbone's training, which the fit finds"
    )
    std: Colour | None = Field(default=None, description="deviation of each colour; null: likewise")

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

    backbone: str = Field(
        default="tf_efficientnet_lite0", description="frozen network that gives the features: a CNN of timm"
    )
    weights: str = Field(
        default="pretrained",
        description="pretrained: of the default backbone installed, of others downloaded; random; or a file",
    )
    weights_seed: int = Field(default=0, description="seed of random weights")
    stages: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field(
        default=(1, 2, 3), min_length=1, description="stages of the backbone whose features are used"
    )
    padding: Literal["reflect", "zeros"] = Field(
        default="reflect", description="padding of the backbone's convolutions"
    )
    pool: Literal["avg", "max", "none"] = Field(default="avg", description="pooling of the features")
    pool_kernel: Literal[1, 3, 5, 7] = Field(default=3, description="size of the pooling's window")
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(2, 5, 8), description="coupling blocks of the flow of each stage"
    )
    condition_channels: int = Field(
        default=64, ge=0, multiple_of=4, description="channels that tell a flow the position; 0: none"
    )
    clamp: float = Field(default=1.9, gt=0, description="bound of the logarithm of a coupling's scale")
    fusion: bool = Field(default=True, description="whether a flow joins the stages at the end")
    norm: Literal["layer", "batch", "none"] = Field(default="layer", description="norm in the couplings' networks")

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

    passes: int = Field(default=8, ge=1, description="passes over the frames")
    batch: int = Field(
        default=8, ge=1, description="frames per step; on CPUs every 4 of them have a thread, up to the cores"
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="learning rate at its highest")
    warmup: float = Field(
        default=0.12, ge=0, lt=1, description="share of the passes in which the learning rate rises, from a tenth of it"
    )
    milestones: tuple[Fraction, ...] = Field(
        default=(0.7, 0.9), description="shares of the passes after which the learning rate falls to a third"
    )
    clip: float = Field(default=2.0, gt=0, description="largest norm of the gradient")
    precision: Precision = Field(
        default="auto",
        description="precision of the convolutions; auto: bfloat16 on GPUs, float16 on those without; else float32",
    )
    on_divergence: Literal["stop", "rewind"] = Field(
        default="stop", description="rewind: back to the last pass with half the learning rate"
    )
    seed: int = Field(default=9826, description="seed of the flow's first weights and of the order of frames")
    holdout: float = Field(
        default=0.1, ge=0, le=0.5, description="share of each source, its last part, that is kept for the threshold"
    )
    cache_dtype: Literal["float16", "float32"] = Field(default="float32", description="type of the cached features")
    cache_memory: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="GiB of features in memory, others are on disk; null: a quarter of the machine's"
    )
    keep: int = Field(
        default=1500, ge=0, description="frames whose features stay beside the scene, to teach it more; 0: none"
    )


class ScoreSettings(Section):
    """The way from maps to scores and alarms."""

    kind: ScoreKind = Field(default="combined", description="score that thresholds, alarms and events use")
    aggregation: Literal["add", "mul"] = Field(default="add", description="map of a single image that localises")
    alignment: Literal["corners", "centres"] = Field(
        default="centres", description="places of the features in the image; the paper's corners shift them"
    )
    top_k: Fraction = Field(default=0.03, description="share of the pixels, the highest, that make a score")
    batch: int = Field(default=8, ge=1, description="frames scored at once")
    every: int = Field(default=5, ge=1, description="frames are scored whose index is a multiple of this")
    smoothing: float = Field(default=0.5, ge=0, description="time constant of the causal mean, in seconds; 0: none")
    threshold: FiniteFloat | None = Field(default=None, description="threshold of the score; null: the scene's own")


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

    triggers: Annotated[tuple[ScoreKind, ...], Field(min_length=1)] | None = Field(
        default=None, description="scores that raise events; null: score.kind, and surprise unless it is combined"
    )
    leave: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="share of the way from the normal median to the threshold that ends activity",
    )
    min_duration: FiniteFloat = Field(
        default=0.4, ge=0, description="seconds above the threshold after which an event begins"
    )
    cool_down: FiniteFloat = Field(
        default=2.0, ge=0, description="seconds without activity after which an event is over"
    )

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

    name: EngineName = Field(
        default="auto", description="engine; auto: the fastest that is installed, by a short trial on this machine"
    )
    precision: EnginePrecision = Field(
        default="auto", description="precision; auto: the fastest that leaves the scores as they are, never int8"
    )


class SceneSettings(Section):
    """The storage of a scene."""

    dtype: Literal["float32", "float16"] = Field(
        default="float32", description="type of the weights in model.safetensors"
    )


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
