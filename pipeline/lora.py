"""LoRAs (Hu et al. 2022) in any form that diffusers reads, fused into the networks that they were trained for."""

import inspect
from pathlib import Path
from typing import Any

from torch import nn

from pipeline.settings import SettingsError

# Part of a model -> the function of a pipeline's class that loads LoRAs into it, the name of its argument.
LOADERS = {
    "unet": ("load_lora_into_unet", "unet"),
    "transformer": ("load_lora_into_transformer", "transformer"),
}


def fuse(pipeline: str, part: str, network: nn.Module, folder: Path, scale: float) -> bool:
    """Add `scale` times a LoRA's part ("unet", "transformer", "text_encoder", …) to a network's own weights.

    `pipeline` is the class in diffusers that knows how LoRAs of the family are written. False: there is no such part.
    """
    import diffusers

    cls = getattr(diffusers, pipeline)
    if not hasattr(cls, "lora_state_dict"):
        raise SettingsError(f"model.loras: diffusers knows no LoRAs of a {pipeline}")
    try:
        read = cls.lora_state_dict(str(folder), use_safetensors=True, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingsError(f"model.loras: {folder} holds no LoRA that {pipeline} reads: {error}") from error
    weights, alphas = read if isinstance(read, tuple) else (read, None)
    if not any(key.startswith(f"{part}.") for key in weights):
        return False
    own: Any = network
    load, name = LOADERS.get(part, ("load_lora_into_text_encoder", "text_encoder"))
    takes = inspect.signature(getattr(cls, load)).parameters
    given: dict[str, Any] = {"prefix": part} if name == "text_encoder" else {}
    given |= {"network_alphas": alphas} if "network_alphas" in takes else {}
    try:
        getattr(cls, load)(weights, **{name: own}, **given)
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"model.loras: {folder} does not fit the model's {part}: {error}") from error
    _fuse(own, scale)
    return True


def _fuse(network: Any, scale: float) -> None:
    """Add what PEFT holds beside a network's weights to them, and leave a network without PEFT's layers."""
    from diffusers.utils import recurse_remove_peft_layers
    from peft.tuners.lora import LoraLayer

    for layer in network.modules():
        if isinstance(layer, LoraLayer):
            layer.scale_layer(scale)
            layer.merge()
    recurse_remove_peft_layers(network)
    network._hf_peft_config_loaded = False
    del network.peft_config
