"""A checkpoint by its own pipeline in diffusers, for families that have no file here.

The pipeline samples and guides: neither `guidance` nor the constraint of editing has a say, and the output says so
(provenance.guidance). Options of the task: `inputs`, the pipeline's argument -> the role that fills it (null: none
does); `arguments`, others as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import diffusers
import torch

from pipeline.conditions import Condition, Conditions
from pipeline.conditions.raw import read
from pipeline.diffusion.sampler import Backend, Drawn, Guide
from pipeline.lora import fuse
from pipeline.models import checkpoint
from pipeline.models.files import Files
from pipeline.settings import SettingsError

NETWORKS = ("unet", "transformer", "text_encoder", "text_encoder_2")  # that a LoRA may be for


class WholePipeline(Backend):
    """Any text-to-image or image-to-image pipeline."""

    def __init__(self, files: Files, device: str, dtype: torch.dtype, options: Mapping[str, Any]) -> None:
        safe = None if files.trust_pickle else True
        try:
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                files.folder, torch_dtype=dtype, use_safetensors=safe, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError, AttributeError) as error:
            raise SettingsError(f"{files.folder} cannot be loaded as a pipeline: {error}") from error
        name, parts = type(pipe).__name__, [part for part in NETWORKS if getattr(pipe, part, None) is not None]
        for lora, scale in files.loras:
            fused = [fuse(name, part, getattr(pipe, part), lora, scale) for part in parts]
            if not any(fused):
                raise SettingsError(f"model.loras: {lora} holds nothing for a {name}")
        if files.vae:
            pipe.vae = checkpoint.load_part(files.vae, diffusers.AutoModel, files.trust_pickle).to(dtype)
        self.pipe: Any = pipe.to(device)
        self.pipe.set_progress_bar_config(disable=True)
        self.inputs, self.arguments = dict(options["inputs"]), dict(options["arguments"])
        self.scheduler_config = checkpoint.scheduler_config(files.folder)

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
