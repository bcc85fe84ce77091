"""LoRAs: fused as diffusers does, one or several, also of text encoders; those that fit nothing are refused."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict

from pipeline.conditions import EncoderContext
from pipeline.conditions.prompts import TextEncoders
from pipeline.diffusion.families.whole import WholePipeline
from pipeline.lora import fuse
from pipeline.models.files import Files, Scaled
from pipeline.settings import SettingsError
from tests import make, parity

WORDED = ("stable_diffusion", "stable_diffusion_xl")  # families whose LoRAs may be of text encoders too


def network_of(pipe: Any) -> str:
    return "unet" if getattr(pipe, "unet", None) is not None else "transformer"


def write(family: str, place: Path, seed: int, words: bool) -> Path:
    """A random LoRA as diffusers writes it."""
    torch.manual_seed(seed)
    pipe = diffusers.DiffusionPipeline.from_pretrained(parity.folder(family))
    part = network_of(pipe)
    getattr(pipe, part).add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = {f"{part}_lora_layers": get_peft_model_state_dict(getattr(pipe, part))}
    if words:
        pipe.text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
        layers["text_encoder_lora_layers"] = get_peft_model_state_dict(pipe.text_encoder)
    type(pipe).save_lora_weights(place, **layers)
    return place


def fused(family: str, loras: Scaled) -> Any:
    """The pipeline with these LoRAs, as diffusers fuses them."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(parity.folder(family))
    for place, scale in loras:
        pipe.load_lora_weights(place)
        pipe.fuse_lora(lora_scale=scale)
        pipe.unload_lora_weights()
    return pipe


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl", "stable_diffusion_3", "flux"])
def test_loras_are_fused_as_diffusers_does(family: str, count: int, tmp_path: Path) -> None:
    places = [write(family, tmp_path / str(i), i, family in WORDED) for i in range(count)]
    loras = tuple(zip(places, (0.5, 1.5), strict=False))
    theirs, files = fused(family, loras), Files(parity.folder(family), loras=loras)
    part = network_of(theirs)
    wanted = dict(getattr(theirs, part).named_parameters())
    was = dict(parity.backend(family, Files(files.folder)).network.named_parameters())
    for name, value in parity.backend(family, files).network.named_parameters():
        assert torch.equal(value, wanted[name])
    assert any(not torch.equal(value, was[name]) for name, value in wanted.items())
    if family in WORDED:
        context = EncoderContext(str(files.folder), "cpu", loras=loras, options=parity.options(family))
        given = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        assert torch.equal(TextEncoders.load(context)(["a box"])[0], theirs.encode_prompt("a box", **given)[0])


def test_a_lora_for_another_network_is_refused(tmp_path: Path) -> None:
    files = Files(parity.folder("stable_diffusion"), loras=((write("flux", tmp_path, 0, words=False), 1.0),))
    with pytest.raises(SettingsError, match=r"model\.loras"):
        parity.backend("stable_diffusion", files)
    options = make.task("text_to_image", "family=pipeline").options
    with pytest.raises(SettingsError, match=r"model\.loras: .* holds nothing for a StableDiffusionPipeline"):
        WholePipeline(files, "cpu", torch.float32, options)


def test_a_pipeline_without_loras_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="knows no LoRAs of a DDPMPipeline"):
        fuse("DDPMPipeline", "unet", torch.nn.Linear(1, 1), tmp_path, 1.0)
