"""The skeletons in which motion capture travels, and which of their joints are SMPL's 22.

Frame rates are those of the capture. The Daz conversion of CMU's database says 120 frames a second of every trial;
CMU's own index says 60 of subjects 60 and 61, and only 60 gives their salsa a tempo that anyone could dance to.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pipeline.datasets.dance.kinematics import Array
from pipeline.motion.skeleton import JOINTS


@dataclasses.dataclass(frozen=True)
class Carrier:
    """How one family of files is read."""

    joints: Mapping[str, tuple[str, ...]]  # SMPL's joint -> the file's; of several the middle
    metres: float  # in one unit of length
    fps: float
    skip: int  # frames at the beginning that are no motion but a T pose


def _both_sides(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Names with {} in them once for each side, as l_… and r_…; those of several joints are separated by commas."""

    def on(side: str, name: str) -> tuple[str, ...]:
        return tuple(part.format(side) for part in name.split(","))

    left, right = names["sides"].split()
    found = {}
    for joint in JOINTS:
        side = {"l": left, "r": right}[joint[0]] if joint[1] == "_" else ""
        found[joint] = on(side, names[joint.removeprefix("l_").removeprefix("r_")])
    return found


DAZ = Carrier(
    _both_sides(
        {
            "sides": "l r", "pelvis": "hip", "hip": "{}Thigh", "spine1": "abdomen", "knee": "{}Shin",
            "spine2": "abdomen,chest", "ankle": "{}Foot", "spine3": "chest", "foot": "{}Foot end", "neck": "neck",
            "collar": "{}Collar", "head": "head", "shoulder": "{}Shldr", "elbow": "{}ForeArm", "wrist": "{}Hand",
        }
    ),
    metres=1.32, fps=60, skip=1,
)  # fmt: skip

ICLONE = Carrier(
    _both_sides(
        {
            "sides": "L R", "pelvis": "CC_Base_Hip", "hip": "CC_Base_{}_Thigh", "spine1": "CC_Base_Waist",
            "knee": "CC_Base_{}_Calf", "spine2": "CC_Base_Spine01", "ankle": "CC_Base_{}_Foot",
            "spine3": "CC_Base_Spine02", "foot": "CC_Base_{}_ToeBase", "neck": "CC_Base_NeckTwist01",
            "collar": "CC_Base_{}_Clavicle", "head": "CC_Base_Head", "shoulder": "CC_Base_{}_Upperarm",
            "elbow": "CC_Base_{}_Forearm", "wrist": "CC_Base_{}_Hand",
        }
    ),
    metres=0.01, fps=60, skip=1,
)  # fmt: skip

ACCLAIM = Carrier(  # a joint is where a bone ends; lengths are inches / 0.45
    _both_sides(
        {
            "sides": "l r", "pelvis": "root", "hip": "{}hipjoint", "spine1": "lowerback", "knee": "{}femur",
            "spine2": "lowerback,upperback", "ankle": "{}tibia", "spine3": "upperback", "foot": "{}foot",
            "neck": "lowerneck", "collar": "thorax,{}clavicle", "head": "upperneck", "shoulder": "{}clavicle",
            "elbow": "{}humerus", "wrist": "{}radius",
        }
    ),
    metres=0.0254 / 0.45, fps=120, skip=0,
)  # fmt: skip

MOTORICA = Carrier(
    _both_sides(
        {
            "sides": "Left Right", "pelvis": "Hips", "hip": "{}UpLeg", "spine1": "Spine", "knee": "{}Leg",
            "spine2": "Spine,Spine1", "ankle": "{}Foot", "spine3": "Spine1", "foot": "{}ToeBase", "neck": "Neck",
            "collar": "{}Shoulder", "head": "Head", "shoulder": "{}Arm", "elbow": "{}ForeArm", "wrist": "{}Hand",
        }
    ),
    metres=0.01, fps=120, skip=0,
)  # fmt: skip


def assemble(places: Mapping[str, Array], carrier: Carrier) -> Array:
    """Positions [T, 22, 3] in metres of a file's joints. Raises KeyError for a joint that the file does not have."""
    middles = [np.mean([places[name] for name in carrier.joints[joint]], axis=0) for joint in JOINTS]
    return np.stack(middles, 1)[carrier.skip :] * carrier.metres
