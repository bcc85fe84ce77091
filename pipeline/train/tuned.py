"""What fine-tuning changes of a checkpoint, and how that is saved: a LoRA, the whole denoiser, or an adapter beside it.

Only what changes is a parameter here, in float32, so that only it is optimised, averaged and kept in checkpoints; all
else is frozen and shared by every copy.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn

from pipeline.conditions import Conditions
from pipeline.diffusion.families.adapters import Adapters
from pipeline.diffusion.families.latent import Latent
from pipeline.models.checkpoint import CHECKSUMS, wanted
from pipeline.models.fusion import Keep
from pipeline.settings import SettingsError

Save = Callable[[Path], None]
HINT_CHANNELS = (16, 32, 96, 256)  # of the levels of a ControlNet's look at its picture, as published ones have them


class Tuned(nn.Module):
    """A backend's prediction, as a function of the weights that are trained.

    `places` are these weights inside the backend's networks. A copy (the average) has weights of its own, which stand
    in their places only while it is asked or saved.
    """

    def __init__(self, backend: Latent, places: Sequence[nn.Parameter], save: Save) -> None:
        super().__init__()
        self.backend, self.places, self.write = backend, tuple(places), save
        self.weights = nn.ParameterList(places)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tuned":
        """With weights of its own, and the same frozen rest."""
        copied = memo[id(self)] = Tuned(self.backend, self.places, self.write)
        copied.weights = nn.ParameterList(weight.detach().clone() for weight in self.weights)
        return copied.train(self.training)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """The weights are in their places."""
        moved = [(p, w, p.data) for p, w in zip(self.places, self.weights, strict=True) if p is not w]
        for place, weight, _ in moved:
            place.data = weight.data
        try:
            yield
        finally:
            for place, _, before in moved:
                place.data = before

    def forward(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:
        """Prediction [B, C, h, w] at x_t [B, C, h, w] and t [B], by the way that sampling takes."""
        mixed = self.backend.dtype != torch.float32  # trained weights are cast to what the frozen ones compute in
        kind = torch.device(self.backend.device).type
        with self.installed(), torch.autocast(kind, self.backend.dtype) if mixed else contextlib.nullcontext():
            return self.backend.denoise(x_t, t, self.backend.prepare(conditions), keep)

    def save(self, folder: Path) -> None:
        """Write what was trained, in the form in which it is published."""
        with self.installed():
            self.write(folder)


def tuned(backend: Latent, folder: Path, adapter: str | None, options: Mapping[str, Any]) -> Tuned:
    """What stage.options ask to be trained of the checkpoint in `folder`."""
    if adapter:
        part, save = _adapter(backend, adapter, int(options["layers"]))
    elif options["train"] == "lora":
        part, save = _lora(backend, int(options["rank"]), list(options["targets"]))
    else:
        part, save = _full(backend, folder)
    if options["gradient_checkpointing"]:
        for network in (backend.network, part):
            if network._supports_gradient_checkpointing:
                network.enable_gradient_checkpointing()
    places = [parameter for parameter in part.parameters() if parameter.requires_grad]
    for place in places:
        place.data = place.data.float()
    return Tuned(backend, places, save)


def _lora(backend: Latent, rank: int, targets: list[str]) -> tuple[Any, Save]:
    """Low-rank additions (Hu et al. 2022) to the denoiser's layers whose names end as `targets` say, of scale 1."""
    network = backend.network
    try:
        network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights="gaussian"))
    except ValueError as error:
        raise SettingsError(f"stage.options.targets: the {backend.part} has no such layers: {error}") from error

    def save(place: Path) -> None:
        layers = {f"{backend.part}_lora_layers": get_peft_model_state_dict(network)}
        getattr(diffusers, backend.options["pipeline"]).save_lora_weights(place, **layers)

    return network, save


def _full(backend: Latent, folder: Path) -> tuple[Any, Save]:
    """The whole denoiser; the checkpoint's other parts are copied."""

    def save(place: Path) -> None:
        names = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
        for name in wanted(names):
            if not name.startswith(f"{backend.part}/") and name != CHECKSUMS:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / name, place / name)
        backend.network.save_pretrained(place / backend.part)

    return backend.network.requires_grad_(True), save


def _adapter(backend: Latent, kind: str, layers: int) -> tuple[Any, Save]:
    """A fresh adapter for sketches beside the frozen denoiser."""
    made = _t2i_adapter(backend) if kind == "T2IAdapter" else _controlnet(backend, kind, layers)
    made = made.to(backend.device).float().eval()
    pair = [(made, 1.0)]
    backend.adapters = Adapters(pair, []) if kind == "T2IAdapter" else Adapters([], pair)
    return made, made.save_pretrained


def _t2i_adapter(backend: Latent) -> Any:
    """Features for each level of a UNet (Mou et al. 2023); of one whose first level is halved before it reads the
    prompt, in the form made for Stable Diffusion XL."""
    config, scale = backend.network.config, backend.side // backend.latent_shape[-1]
    channels = list(config.block_out_channels)
    if config.down_block_types[0].startswith("CrossAttn"):
        return diffusers.T2IAdapter(in_channels=1, channels=channels, downscale_factor=scale)
    middle = channels[-1:] if len(channels) == 3 else []  # the level that this form halves
    form = {"adapter_type": "full_adapter_xl", "downscale_factor": 2 * scale}
    return diffusers.T2IAdapter(in_channels=1, channels=channels + middle, **form)


def _controlnet(backend: Latent, kind: str, layers: int) -> Any:
    """A copy of the denoiser's first half, or of `layers` blocks of each kind (Zhang et al. 2023)."""
    cls, network = getattr(diffusers, kind), backend.network
    if hasattr(cls, "from_unet"):
        levels = (backend.side // backend.latent_shape[-1]).bit_length()
        return cls.from_unet(network, conditioning_embedding_out_channels=HINT_CHANNELS[:levels])
    blocks = {"num_layers": min(layers, network.config.num_layers)}
    if "num_single_layers" not in network.config:
        made = cls.from_transformer(network, num_extra_conditioning_channels=0, **blocks)
        for unread in (made.transformer_blocks[-1].ff_context, made.transformer_blocks[-1].attn.to_add_out):
            unread.requires_grad_(False)  # of the last block's words; workers would wait for its gradients
        return made
    blocks["num_single_layers"] = min(layers, network.config.num_single_layers)
    heads = {key: network.config[key] for key in ("attention_head_dim", "num_attention_heads")}
    return cls.from_transformer(network, **blocks, **heads)
