"""Quality against forwards: the diffusion model in 4 to 50 steps, its students in one, two and four, and a GAN in one.

Networks are of one size. The students start from the diffusion model of the same seed and see as many drawings again as
it did, half of them in their discriminator's turns; the GAN, which starts from nothing, sees three times as many. So
short a training shows little of what steps are good for, so the starter stands beside them.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.studies import denoisers
from tests.studies.jobs import job
from tests.studies.study import Figures, Measure, Variant

TEACHER = "denoisers/tokens-gates"
SMALL = ("stage.options.discriminator.channels=[32,64]", "optimiser.warmup_steps=50", "validate.samples=0")
DISTIL = ("stage=distil", "optimiser.epochs=1", "optimiser.passes=5", *SMALL)
GAN = (
    *("stage=gan", "stage.options.channels=[32,64]", "optimiser.epochs=1", "optimiser.passes=15", *SMALL),
    *(f"stage.options.{part}={denoisers.STARTER}/{part}" for part in ("clip", "vae")),
)


def _students(steps: int) -> Variant:
    return Variant(f"student, {steps}", f"forwards/student-{steps}", (*DISTIL, f"stage.options.steps={steps}"))


DIFFUSION = {f"diffusion, {steps}": steps for steps in (50, 20, 8, 4, 2, 1)}
STARTER = {f"starter, {steps}": steps for steps in DIFFUSION.values()}
GUIDED = "starter, 20 steps, guided"  # of three forwards each
STUDENTS = {f"student, {steps}": steps for steps in (4, 2, 1)}
VARIANTS = (
    *(Variant(name, f"forwards/diffusion-{steps}") for name, steps in DIFFUSION.items()),
    *(_students(steps) for steps in STUDENTS.values()),
    Variant("GAN, 1", "forwards/gan", GAN),
    *(Variant(name, f"forwards/starter-{steps}", seeds=1) for name, steps in STARTER.items()),
    Variant(GUIDED, "forwards/starter-guided", seeds=1),
)


def drawn(variant: Variant, seed: int, pairs: Path, folder: Path) -> Figures:
    """Train it where it is to be trained; figures of what it draws of both conditions."""
    if variant.name == GUIDED:
        return denoisers.drawn(denoisers.STARTER, pairs, folder / "drawn", "[none]", ("steps=20",))
    model = _model(variant, seed, pairs, folder)
    if variant.name in STUDENTS:
        asked = (f"steps={STUDENTS[variant.name]}", "scheduler=model")
    else:
        asked = (f"steps={(DIFFUSION | STARTER).get(variant.name, 1)}",)
    return denoisers.drawn(model, pairs, folder / "drawn", "[none]", ("guidance=none", *asked))


def _model(variant: Variant, seed: int, pairs: Path, folder: Path) -> Path | str:
    if variant.name in STARTER:
        return denoisers.STARTER
    teacher = folder.parents[len(Path(variant.place).parts)] / TEACHER / str(seed) / "train" / "model"
    if not variant.train:
        return teacher
    given = (f"stage.options.teacher={teacher}",) if variant.name in STUDENTS else ()
    job("train", *variant.train, *given, f"input.path={pairs}", f"seed={seed}", f"output={folder / 'train'}")
    return folder / "train" / "model"


MEASURES: Mapping[str, Measure] = {"drawn": drawn}
SHOWN = ("frechet, both", "delta_e, both", "clip_image, both", "clip_text, both", "sketch_f1, both")
