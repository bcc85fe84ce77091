"""Schedulers of diffusers by name, on the noise schedule that a model was trained with.

Diffusion (eps-, v- or x_0-prediction on alpha_bar) and flow matching (velocity on x_t = (1 - s) x_0 + s eps) go by the
same short names: a flow's euler is FlowMatchEulerDiscreteScheduler, its dpmpp_2m has flow sigmas.

diffusers is imported when it is needed: importing it takes seconds, and a command line must answer at once.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from pipeline.settings import SettingsError

# Short names; any other scheduler goes by its class name in diffusers.
MODEL = "model"  # the class that the checkpoint comes with
FLOW = "flow_prediction"
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
FLOW_SCHEDULERS = {"euler": "FlowMatchEulerDiscreteScheduler", "heun": "FlowMatchHeunDiscreteScheduler"}


def scheduler_class(name: str) -> tuple[str, dict[str, Any]]:
    """(class name in diffusers, options) of a scheduler. Raises SettingsError for names that are none."""
    if name == MODEL:
        return "", {}
    if name in SCHEDULERS:
        return SCHEDULERS[name]
    if name.endswith("Scheduler"):
        import diffusers

        if name in dir(diffusers):
            return name, {}
    known = ", ".join([*SCHEDULERS, MODEL])
    raise SettingsError(f"unknown scheduler={name}; known: {known}, or a class name of diffusers")


def prediction_type(config: Mapping[str, Any]) -> str:
    """What a model of this noise schedule predicts: epsilon, v_prediction, sample, or FLOW."""
    return FLOW if "FlowMatch" in config.get("_class_name", "") else str(config.get("prediction_type", FLOW))


def make_scheduler(name: str, config: dict[str, Any]) -> Any:
    """A scheduler with the noise schedule of `config`, as a model's scheduler folder holds it."""
    import diffusers

    class_name, options = scheduler_class(name)
    if prediction_type(config) == FLOW:
        return _flow_scheduler(name, config)
    cls = getattr(diffusers, class_name or config["_class_name"])
    missing = {"prediction_type", "num_train_timesteps"} - set(inspect.signature(cls.__init__).parameters)
    if missing or not hasattr(cls, "scale_model_input"):
        raise SettingsError(f"scheduler={name} cannot sample from a model that predicts {config['prediction_type']}")
    return cls.from_config(config, **options)


def _flow_scheduler(name: str, config: dict[str, Any]) -> Any:
    """As make_scheduler, for a model that was trained by flow matching."""
    import diffusers

    class_name, options = scheduler_class(name)
    cls = getattr(diffusers, FLOW_SCHEDULERS.get(name, class_name) or config["_class_name"])
    if "FlowMatch" in cls.__name__:
        return cls.from_config(config)
    if "use_flow_sigmas" not in inspect.signature(cls.__init__).parameters:
        raise SettingsError(f"scheduler={name} cannot sample from a model of flow matching; take euler or dpmpp_2m")
    shift = config.get("flow_shift", config.get("shift", 1.0))
    return cls.from_config(config, **options, use_flow_sigmas=True, prediction_type=FLOW, flow_shift=shift)
