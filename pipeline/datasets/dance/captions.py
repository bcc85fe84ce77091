"""What is said of a dance: its genre and role, what can be measured of it, its tempo, and what its makers said."""

from collections.abc import Mapping

import numpy as np

from pipeline.motion.skeleton import FPS, TOES, Poses

SLOW, FAST = 0.45, 0.95  # m/s, mean speed of all joints
TURN = 4.5  # radians through which the shoulders turn
TRAVEL = 1.6  # metres that the pelvis covers along x or z
JUMP = 0.25  # metres above the floor that both feet reach
RAISED = 0.3  # share of frames with a hand above the head
WRISTS, HEAD = (20, 21), 15
ROLES: Mapping[str, str] = {"lead": ", leading a partner", "follow": ", following a partner", "": ""}


def captions(poses: Poses, genre: str, role: str, bpm: float | None, description: str = "") -> list[str]:
    """Captions of a motion [T, 22, 3], the plainest first; `genre` as it is spoken, `role` "lead", "follow" or "",
    `bpm` None where no tempo is known."""
    pace = energy(poses)
    seen = ", ".join(attributes(poses))
    made = [
        f"a person dances {genre}{ROLES[role]}",
        f"{pace} {genre}, {seen}" if seen else f"{pace} {genre}",
    ]
    if bpm is not None:
        made.append(f"{pace} {genre} at {round(bpm / 5) * 5} beats per minute")
    return [*made, f"{genre}: {description}"] if description else made


def energy(poses: Poses) -> str:
    """How fast the body moves."""
    speed = float(np.linalg.norm(np.gradient(poses, 1 / FPS, axis=0), axis=-1).mean())
    return "slow" if speed < SLOW else "energetic" if speed > FAST else "moderate"


def attributes(poses: Poses) -> list[str]:
    """What it does besides."""
    across = poses[:, 16] - poses[:, 17]
    turned = np.unwrap(np.arctan2(across[:, 2], across[:, 0]))
    found = {
        "turning": np.ptp(turned) > TURN,
        "travelling": np.ptp(poses[:, 0][:, [0, 2]], axis=0).max() > TRAVEL,
        "jumping": poses[:, list(TOES), 1].min(1).max() > JUMP,
        "with raised arms": (poses[:, list(WRISTS), 1].max(1) > poses[:, HEAD, 1]).mean() > RAISED,
    }
    return [word for word, holds in found.items() if holds]
