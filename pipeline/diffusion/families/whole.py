"""A checkpoint by its own pipeline in diffusers, for families that have no file here.

The pipeline samples and guides: neither `guidance` nor the constraint of editing has a say, and the output says so
(provenance.guidance). Options of the task: `inputs`, the pipeline's argument -> the role that fills it; `arguments`,
others as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.conditions.raw import read
from pipeline.diffusion.sampler import Denoiser, Drawn, Guide
from pipeline.lora import fuse
from pipeline.models import checkpoint
from pipeline.models.files import Files
from pipeline.models.fusion import Keep
from pipeline.settings import SettingsError


class WholePipeline(Denoiser):
    """Any text-to-image or image-to-image pipeline."""

    latent_shape: tuple[int, ...] = ()

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        safe = None if files.trust_pickle else True
        try:
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                files.folder, torch_dtype=dtype, use_safetensors=safe, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError, AttributeError) as error:
            raise SettingsError(f"{files.folder} cannot be loaded as a pipeline: {error}") from error
        for part in ("unet", "transformer", "text_encoder", "text_encoder_2"):
            for lora, scale in files.loras if hasattr(pipe, part) else ():
                fuse(type(pipe).__name__, part, getattr(pipe, part), lora, scale)
        if files.vae:
            pipe.vae = checkpoint.Loader(files.trust_pickle)(files.vae, diffusers.AutoModel).to(dtype)
        self.pipe: Any = pipe.to(device)
        self.pipe.set_progress_bar_config(disable=True)
        self.inputs, self.arguments = dict(options["inputs"]), dict(options["arguments"])
        self.scheduler_config: dict[str, Any] = checkpoint.scheduler_config(files.folder)

    def prepare(self, conditions: Conditions) -> Conditions:
        """Nothing: the pipeline does."""
        return conditions

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """The pipeline has a loop of its own."""
        raise NotImplementedError

    def decode(self, x_0: Tensor) -> Tensor:
        """As the pipeline gives them."""
        return x_0

    def draw(
        self,
        conditions: Conditions,
        generators: Sequence[torch.Generator],
        scheduler: Any,
        steps: int,
        guide: Guide,  # noqa: ARG002
    ) -> Drawn:
        """B pictures, row b's randomness from generators[b] alone."""
        self.pipe.scheduler = scheduler
        given = {name: argument(conditions[role]) for name, role in self.inputs.items() if role in conditions}
        made = self.pipe(
            **given, **self.arguments, num_inference_steps=steps, generator=list(generators), output_type="pt"
        )
        return Drawn(made.images.float(), len(generators) * len(scheduler.timesteps))


def argument(condition: Condition) -> Any:
    """A condition as a pipeline's argument: a list of texts, or pictures [B, C, S, S] in [0, 1]."""
    return condition.maps[0].float() / 255 if condition.maps else read(condition)
