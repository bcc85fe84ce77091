"""Tiny random-weight checkpoints in exactly the layouts in which model families are published.

`save(name, folder)` writes one; ADAPTERS are what joins them. Tokenisers are made here: nothing is downloaded.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIDE = 64  # pixels of the pictures of all of them
VAE = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": SIDE,
}  # pictures are twice as wide as latents
UNET = {
    "block_out_channels": (16, 32),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "sample_size": SIDE // 2,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
}
XL = {
    **UNET,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1),
    "cross_attention_dim": 64,
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8,
}
SD3 = {
    "sample_size": SIDE // 2,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 64,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 64,
    "pos_embed_max_size": 32,
}
FLUX = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 32,
    "pooled_projection_dim": 32,
    "axes_dims_rope": (4, 6, 6),
}


def _clip_tokenizer() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77, pad_token="<|endoftext|>"
    )


def _t5_tokenizer() -> Any:
    letters = ["<pad>", "</s>", "<unk>", *(chr(c) for c in range(32, 127))]
    inner = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # one token a letter
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=77
    )


def _clip_text(projection: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=3,
        projection_dim=32,
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        hidden_act="gelu",
    )
    cls = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return cls(config).eval()


def _t5(width: int) -> Any:
    config = transformers.T5Config(
        d_model=width, d_kv=8, d_ff=37, num_layers=1, num_heads=2, vocab_size=98, pad_token_id=0, eos_token_id=1
    )
    return transformers.T5EncoderModel(config).eval()


def _vae(channels: int, **more: Any) -> Any:
    """One whose posterior is sharp, so that pipelines which draw from it give what those give that take its mode."""
    made = diffusers.AutoencoderKL(latent_channels=channels, **VAE, **more).eval()
    last = made.quant_conv or made.encoder.conv_out
    with torch.no_grad():
        last.weight[channels:] = 0
        last.bias[channels:] = -30
    return made


def _diffusion_schedule() -> Any:
    """Of Stable Diffusion 1.5, as its PNDM."""
    return diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )


def stable_diffusion(**unet: Any) -> Any:
    """Stable Diffusion 1.x."""
    return diffusers.StableDiffusionPipeline(
        vae=_vae(4),
        text_encoder=_clip_text(),
        tokenizer=_clip_tokenizer(),
        unet=diffusers.UNet2DConditionModel(**{**UNET, **unet}).eval(),
        scheduler=_diffusion_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def instruct_pix2pix() -> Any:
    """InstructPix2Pix: a UNet that also sees the latents of the picture to be edited."""
    made = stable_diffusion(in_channels=8)
    return diffusers.StableDiffusionInstructPix2PixPipeline(**made.components, requires_safety_checker=False)


def inpainting() -> Any:
    """Stable Diffusion's inpainting checkpoint: a UNet that also sees the mask and the masked picture."""
    made = stable_diffusion(in_channels=9)
    return diffusers.StableDiffusionInpaintPipeline(**made.components, requires_safety_checker=False)


def stable_diffusion_xl() -> Any:
    """Stable Diffusion XL."""
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(4),
        text_encoder=_clip_text(),
        text_encoder_2=_clip_text(projection=True),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=diffusers.UNet2DConditionModel(**XL).eval(),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )


def stable_diffusion_3() -> Any:
    """Stable Diffusion 3."""
    return diffusers.StableDiffusion3Pipeline(
        vae=_vae(16, shift_factor=0.0609, scaling_factor=1.5305, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip_text(projection=True),
        text_encoder_2=_clip_text(projection=True),
        text_encoder_3=_t5(64),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        tokenizer_3=_t5_tokenizer(),
        transformer=diffusers.SD3Transformer2DModel(**SD3).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux(guidance: bool = True) -> Any:
    """Flux, as its dev checkpoint with a distilled guidance, or as its schnell one without."""
    return diffusers.FluxPipeline(
        vae=_vae(16, shift_factor=0.1159, scaling_factor=0.3611, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip_text(),
        text_encoder_2=_t5(32),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(**FLUX, guidance_embeds=guidance).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "stable_diffusion": stable_diffusion,
    "stable_diffusion_xl": stable_diffusion_xl,
    "stable_diffusion_3": stable_diffusion_3,
    "flux": flux,
    "instruct_pix2pix": instruct_pix2pix,
    "inpainting": inpainting,
}


def t2i_adapter(family: str) -> Any:
    """A T2I-Adapter of sketches."""
    xl = family == "stable_diffusion_xl"
    kind = {"adapter_type": "full_adapter_xl", "downscale_factor": 4} if xl else {"downscale_factor": 2}
    return diffusers.T2IAdapter(in_channels=1, channels=(16, 32), num_res_blocks=1, **kind).eval()


def controlnet(family: str) -> Any:
    """A ControlNet that has been trained: a fresh one says nothing."""
    base = FAMILIES[family]()
    if family == "stable_diffusion_3":
        made = diffusers.SD3ControlNetModel.from_transformer(
            base.transformer, num_layers=1, num_extra_conditioning_channels=0
        )
    elif family == "flux":
        made = diffusers.FluxControlNetModel.from_transformer(
            base.transformer, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2
        )
    else:
        made = diffusers.ControlNetModel.from_unet(base.unet, conditioning_embedding_out_channels=(8, 16))
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return made.eval()


def save(made: Any, folder: Path) -> Path:
    """A pipeline or a part of one as a folder."""
    made.save_pretrained(folder)
    return folder


def index(folder: Path) -> dict[str, Any]:
    """Its model_index.json."""
    read: dict[str, Any] = json.loads((folder / "model_index.json").read_text("utf-8"))
    return read
