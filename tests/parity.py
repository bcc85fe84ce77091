"""Do published families draw what their own pipelines in diffusers draw? tests/models_table.py makes a table of it.

Tiny random-weight models in the published layouts (published.py), float32, two prompts in a batch, the same noise.
Each case is compared three ways: our prediction at each of the pipeline's own x_t, our update from the pipeline's
prediction, and x_0 at the end of two whole loops, in which differences of rounding have grown.
"""

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from pipeline.conditions import Condition, EncoderContext
from pipeline.conditions.pixels import Colour, Grey
from pipeline.conditions.prompts import Negatives, Prompts
from pipeline.diffusion import guidance
from pipeline.diffusion.families.flux import pack, unpack
from pipeline.diffusion.families.latent import Latent
from pipeline.diffusion.noise import generators, initial_noise
from pipeline.diffusion.sampler import Guide, sample
from pipeline.diffusion.schedulers import make_scheduler
from pipeline.diffusion.schemes import subsets
from pipeline.models.files import Files
from pipeline.settings import resolve
from tests import make, published
from tests.tiny import picture

PROMPTS = ["a red box", "the blue cat on a mat"]
STEPS = 6
SEEDS = [11, 12]
STRENGTH = 0.5
OPTIONS = {"negative_prompt": "blurry", "size": published.SIDE, "max_sequence_length": 32}
DIFFUSION, FLOW = ("ddim", "dpmpp_2m", "euler", "heun", "unipc"), ("euler", "dpmpp_2m", "unipc")
ABLE = {
    "StableDiffusionXLAdapterPipeline": ("ddim", "dpmpp_2m", "euler", "unipc"),  # in heun it drops the adapter
    **dict.fromkeys(("StableDiffusion3Pipeline", "StableDiffusion3ControlNetPipeline"), (*FLOW, "heun")),
    "StableDiffusion3Img2ImgPipeline": ("euler", "heun"),  # it asks for a method that others do not have
    "FluxPipeline": FLOW,
    "FluxControlNetPipeline": ("euler",),  # it hands all others a schedule that is not theirs
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A pipeline of diffusers, and how the same is asked of us."""

    family: str
    pipeline: str  # class in diffusers
    adapters: tuple[str, ...] = ()  # "t2i" | "control"
    scale: float = 5.0
    edits: str = ""  # "strength" | "source" | "mask": how the picture that is edited enters

    @property
    def conditions(self) -> tuple[str, ...]:
        """What is guided by, in the order of chained guidance."""
        if self.edits == "source":
            return ("source", "text")
        return ("sketch", "text") if self.adapters else ("text",)

    @property
    def scheme(self) -> str:
        """With adapters diffusers keeps the sketch in both branches: chained guidance with a sketch scale of 1."""
        return "chained" if len(self.conditions) > 1 else "single"


CASES = (
    Case("stable_diffusion", "StableDiffusionPipeline"),
    Case("stable_diffusion", "StableDiffusionAdapterPipeline", ("t2i",)),
    Case("stable_diffusion", "StableDiffusionAdapterPipeline", ("t2i", "t2i")),
    Case("stable_diffusion", "StableDiffusionControlNetPipeline", ("control",)),
    Case("stable_diffusion", "StableDiffusionControlNetPipeline", ("control", "control")),
    Case("stable_diffusion", "StableDiffusionImg2ImgPipeline", edits="strength"),
    Case("instruct_pix2pix", "StableDiffusionInstructPix2PixPipeline", edits="source"),
    Case("inpainting", "StableDiffusionInpaintPipeline", edits="mask"),
    Case("stable_diffusion_xl", "StableDiffusionXLPipeline"),
    Case("stable_diffusion_xl", "StableDiffusionXLImg2ImgPipeline", edits="strength"),
    Case("stable_diffusion_xl", "StableDiffusionXLAdapterPipeline", ("t2i",)),
    Case("stable_diffusion_xl", "StableDiffusionXLControlNetPipeline", ("control",)),
    Case("stable_diffusion_3", "StableDiffusion3Pipeline"),
    Case("stable_diffusion_3", "StableDiffusion3ControlNetPipeline", ("control",)),
    Case("stable_diffusion_3", "StableDiffusion3Img2ImgPipeline", edits="strength"),
    Case("flux", "FluxPipeline"),
    Case("flux", "FluxControlNetPipeline", ("control",)),
)
SCALES = (0.7, 0.4)  # of the first and of the second adapter


@functools.cache
def folder(name: str) -> Path:
    """A model or an adapter ("t2i:…", "control:…") on disk."""
    torch.manual_seed(sum(map(ord, name)))
    kind, _, family = name.rpartition(":")
    place = Path(tempfile.mkdtemp(prefix="published-"))
    if kind.startswith("t2i"):
        return published.save(published.t2i_adapter(family), place)
    return published.save(
        published.controlnet(family) if kind.startswith("control") else published.FAMILIES[name](), place
    )


def options(family: str, **more: Any) -> dict[str, Any]:
    """The family's options as conf/ has them, for these tiny models."""
    return {**make.task("text_to_image", f"family={family}").options, **OPTIONS, **more}


def backend(family: str, files: Files, dtype: torch.dtype = torch.float32, **more: Any) -> Latent:
    """The family's backend with the options `more`."""
    task = make.task("text_to_image", f"family={family}")
    made: Latent = resolve(task.backend)(files, "cpu", dtype, options(family, **more))
    return made


def files(case: Case) -> Files:
    """The case's folders."""
    names = [f"{kind}{i}:{case.family}" for i, kind in enumerate(case.adapters)]
    return Files(folder(case.family), tuple(zip(map(folder, names), SCALES, strict=False)))


def evidence(case: Case) -> dict[str, Condition]:
    """What the encoders make of the prompts and sketches."""
    context = EncoderContext(str(folder(case.family)), "cpu", options=options(case.family))
    found = {"text": Prompts.load(context)(PROMPTS), "negative": Negatives.load(context)([None, None])}
    if case.edits:
        found["source"] = Colour(published.SIDE)(_pictures(0))
    if case.edits == "mask":
        found["mask"] = Grey(published.SIDE)(_pictures(1))
    if case.adapters:
        found = {"sketch": Grey(published.SIDE)(_pictures(1)), **found}
    return found


def _pictures(which: int) -> list[Any]:
    """Two pictures of tiny.picture: 0 the coloured ones, 1 their sketches."""
    return [np.asarray(picture(i)[which].resize((published.SIDE, published.SIDE))) for i in range(2)]


@dataclasses.dataclass(frozen=True)
class Step:
    """One call of a pipeline's scheduler."""

    prediction: Tensor
    t: Tensor
    x_t: Tensor
    updated: Tensor


def theirs(case: Case, scheduler: str) -> tuple[list[Step], Tensor]:
    """(steps, x_0) of the pipeline."""
    own = files(case)
    parts: dict[str, Any] = {}
    if case.adapters:
        cls = _class(case)
        loaded = [diffusers.AutoModel.from_pretrained(str(path)) for path, _ in own.adapters]
        several = diffusers.MultiAdapter if cls == "adapter" else list
        parts[cls] = loaded[0] if len(loaded) == 1 else several(loaded)
    pipe = getattr(diffusers, case.pipeline).from_pretrained(own.folder, **parts, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    for path, _ in own.loras:
        pipe.load_lora_weights(path)
    pipe.scheduler = make_scheduler(scheduler, dict(pipe.scheduler.config))
    denoiser = backend(case.family, own)
    noise = initial_noise(generators(SEEDS), denoiser.latent_shape)
    steps: list[Step] = []
    with _watched(pipe.scheduler, steps):
        made = pipe(**_arguments(case, noise), **_edit(case, denoiser)).images
    side = noise.shape[-1] // 2
    if case.family == "flux":
        steps = [Step(*(x if x.dim() == 0 else unpack(x, side) for x in dataclasses.astuple(s))) for s in steps]
        made = unpack(made, side)
    return steps, made


def _class(case: Case) -> str:
    return "adapter" if case.adapters[0] == "t2i" else "controlnet"


def _arguments(case: Case, noise: Tensor) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt": PROMPTS, "negative_prompt": ["blurry"] * 2, "num_inference_steps": STEPS}
    given |= {"output_type": "latent"}
    given |= {} if case.edits == "strength" else {"latents": noise}
    given |= {} if case.edits else {"height": published.SIDE, "width": published.SIDE}
    if case.family == "flux":
        given |= {"latents": pack(noise), "true_cfg_scale": case.scale, "guidance_scale": 3.5}
    else:
        given["guidance_scale"] = case.scale
    if case.family in ("flux", "stable_diffusion_3"):
        given["max_sequence_length"] = 32
    if not case.adapters:
        return given
    light = 255 - Grey(published.SIDE)(_pictures(1)).maps[0]
    lines = light.float() / 255
    several = len(case.adapters) > 1
    scale: Any = list(SCALES) if several else SCALES[0]
    if _class(case) == "adapter":
        return given | {"image": [lines, lines] if several else lines, "adapter_conditioning_scale": scale}
    hint: Any = lines.expand(-1, 3, -1, -1)
    if case.family in ("flux", "stable_diffusion_3"):  # which bring pictures into [-1, 1], but not tensors
        hint = [to_pil_image(picture.expand(3, -1, -1)) for picture in light]
    name = "control_image" if case.family in ("flux", "stable_diffusion_3") else "image"
    return given | {name: [hint, hint] if several else hint, "controlnet_conditioning_scale": scale}


def _edit(case: Case, denoiser: Latent) -> dict[str, Any]:
    """Arguments of a pipeline that edits."""
    picture = Colour(published.SIDE)(_pictures(0)).maps[0].float() / 255
    if case.edits == "source":
        return {"image": picture, "image_guidance_scale": 1.5}
    if case.edits == "mask":
        mask = Grey(published.SIDE)(_pictures(1)).maps[0].float() / 255
        return {"image": picture, "mask_image": mask.round(), "strength": 1.0}
    if case.edits == "strength":  # as latents: the autoencoder would draw from the generators first
        return {"image": denoiser.encode(picture), "strength": STRENGTH, "generator": generators(SEEDS)}
    return {}


@contextlib.contextmanager
def _watched(scheduler: Any, steps: list[Step]) -> Iterator[None]:
    """Note every step of a scheduler."""
    step = scheduler.step

    def noting(prediction: Tensor, t: Tensor, x_t: Tensor, *args: Any, **kwargs: Any) -> Any:
        before = x_t.clone()
        result = step(prediction, t, x_t, *args, **kwargs)
        steps.append(Step(prediction.clone(), t, before, result[0].clone()))
        return result

    scheduler.step = noting
    yield
    scheduler.step = step


def ours(case: Case, scheduler: str, steps: list[Step]) -> tuple[float, float, Tensor]:
    """(largest difference of a prediction, of an update, our x_0)."""
    strength = STRENGTH if case.edits == "strength" else 1.0
    denoiser = backend(case.family, files(case), strength=strength)
    conditions, modalities = evidence(case), case.conditions
    weights = {"text": case.scale, "sketch": 1.0, "source": 1.5, "all": case.scale}
    needed = subsets(case.scheme, modalities, [weights])
    branches = guidance.branches(case.scheme, modalities, needed, [weights] * 2)
    made = make_scheduler(scheduler, denoiser.scheduler_config)
    drawn = sample(denoiser, conditions, generators(SEEDS), made, STEPS, Guide(branches)).values
    denoiser.set_timesteps(made, STEPS)
    replay = _Replay(iter(steps), made)
    sample(replay.over(denoiser), conditions, generators(SEEDS), replay, STEPS, Guide(branches))
    return replay.prediction, replay.update, drawn


class _Replay:
    """A scheduler that goes on from the pipeline's own x_t, and notes how far ours are from its steps."""

    def __init__(self, steps: Iterator[Step], scheduler: Any) -> None:
        self.steps, self.scheduler = steps, scheduler
        self.prediction = self.update = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scheduler, name)

    def over(self, denoiser: Latent) -> Latent:
        """The denoiser, with the steps laid out already."""
        denoiser.set_timesteps = lambda scheduler, steps: None  # type: ignore[method-assign]
        return denoiser

    def step(self, prediction: Tensor, t: Tensor, x_t: Tensor) -> Any:  # noqa: ARG002
        own = next(self.steps)
        self.prediction = max(self.prediction, float((prediction - own.prediction).abs().max()))
        updated = self.scheduler.step(own.prediction, t, own.x_t).prev_sample
        self.update = max(self.update, float((updated - own.updated).abs().max()))
        return dataclasses.make_dataclass("Output", ["prev_sample"])(own.updated)


def compare(case: Case, scheduler: str) -> dict[str, Any]:
    """One row of the table."""
    steps, x_0 = theirs(case, scheduler)
    prediction, update, drawn = ours(case, scheduler, steps)
    return {
        "family": case.family,
        "pipeline": case.pipeline,
        "adapters": len(case.adapters),
        "scheduler": scheduler,
        "steps": len(steps),
        "max_abs_diff": max(prediction, update),
        "prediction": prediction,
        "update": update,
        "end": float((drawn - x_0).abs().max()),
        "end_scale": float(x_0.abs().max()),
    }


def schedulers(case: Case) -> tuple[str, ...]:
    """Those that both the pipeline and we can use."""
    return ABLE.get(case.pipeline, DIFFUSION)
