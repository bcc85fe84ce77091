"""Which weights a run uses: the frozen settings of a generator, of what joins it, and of its judge."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Part:
    """Weights that join a generator."""

    path: str  # folder
    scale: float


@dataclasses.dataclass(frozen=True)
class Model:
    """Weights, as folders in diffusers or open_clip form; local, any fsspec URI, or hf://owner/name@revision."""

    path: str  # the generator: its networks, its scheduler and the encoders of its conditions
    judge: str  # a folder that the generator has never seen, as the task's judge loads it; it alone scores
    dtype: str  # "float32" | "bfloat16" | "float16"
    adapters: tuple[Part, ...]  # T2I-Adapters and ControlNets, for the sketch
    loras: tuple[Part, ...]
    vae: str | None  # in place of the generator's own
    trust_pickle: bool  # also read weights that are pickles, which can execute anything
