"""Schedulers of diffusers by name, on the noise schedule that a model was trained with.

diffusers is imported when it is needed: importing it takes seconds, and a command line must answer at once.
"""

import inspect
from typing import Any

from pipeline.settings import SettingsError

# Short names; any other scheduler goes by its class name in diffusers.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


def scheduler_class(name: str) -> tuple[str, dict[str, Any]]:
    """(class name in diffusers, options) of a scheduler. Raises SettingsError for names that are none."""
    if name in SCHEDULERS:
        return SCHEDULERS[name]
    if name.endswith("Scheduler"):
        import diffusers

        if name in dir(diffusers):
            return name, {}
    raise SettingsError(f"unknown scheduler={name}; known: {', '.join(SCHEDULERS)}, or a class name of diffusers")


def make_scheduler(name: str, config: dict[str, Any]) -> Any:
    """A scheduler with the noise schedule of `config`, as a model's scheduler folder holds it."""
    import diffusers

    class_name, options = scheduler_class(name)
    cls = getattr(diffusers, class_name)
    missing = {"prediction_type", "num_train_timesteps"} - set(inspect.signature(cls.__init__).parameters)
    if missing or not hasattr(cls, "scale_model_input"):
        raise SettingsError(f"scheduler={name} cannot sample from a model that predicts {config['prediction_type']}")
    return cls.from_config(config, **options)
