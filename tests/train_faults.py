"""A training that is killed three times beside one that is not: python -m tests.train_faults FOLDER

kill -9 of a worker, of the driver, and of a worker of the next driver, then SIGTERM to that driver; each time the same
command goes on. FOLDER/faults.json says how far the loss curves lie apart: the killed one's from the whole one's, and,
for the noise, a rerun's from the whole one's.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import mortal, tiny
from tests.test_train import arguments
from tests.test_training_ray import alive, curve, figures

ROOT = Path(__file__).resolve().parent.parent
ROWS, SECONDS = 64, 600
OPTIONS = [
    *("optimiser.batch_size=4", "optimiser.passes=2", "optimiser.epochs=3", "optimiser.warmup_steps=4"),
    *("workers.count=2", "workers.checkpoint_steps=6", "log.every=1", mortal.FACTORY),
]
STEPS = 3 * 2 * (ROWS // 2 // 4)  # 48, with checkpoints after 6, 12, 16, 22, ...
KILLS = (  # after so many steps: what
    (9, "worker", signal.SIGKILL),
    (20, "driver", signal.SIGKILL),
    (31, "worker", signal.SIGKILL),
    (40, "driver", signal.SIGTERM),
)


def start(pairs: Path, output: Path, seconds: float) -> subprocess.Popen[bytes]:
    """The command of a training, whose steps take so many seconds at least."""
    command = [sys.executable, "jobs/train.py", *arguments("align", str(pairs), str(output), *OPTIONS)]
    environment = {**os.environ, "MORTAL_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def wait(ready: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError("the training does not get on")
        time.sleep(0.1)


def killed(pairs: Path, output: Path) -> list[dict[str, Any]]:
    """A training with all KILLS; what happened."""
    output.mkdir()
    notes = []
    driver = start(pairs, output, 1.0)
    for after, what, by in KILLS:
        wait(lambda: len(curve(output)) >= after or driver.poll() is not None)  # noqa: B023
        workers = [int(p.read_text()) for p in output.glob("worker-*.pid")]
        notes.append({"kill": f"{by.name} of the {what}", "steps": len(curve(output)), "epochs": len(figures(output))})
        os.kill(driver.pid if what == "driver" else workers[-1], by)
        wait(lambda: not any(map(alive, workers if what == "driver" else workers[-1:])))  # noqa: B023
        if what == "driver":
            notes[-1]["exit"] = driver.wait(SECONDS)
            driver = start(pairs, output, 1.0)
    assert driver.wait(SECONDS) == 0
    return notes


def apart(a: Path, b: Path) -> float:
    """The most that two loss curves differ in a step."""
    left, right = curve(a), curve(b)
    assert sorted(left) == sorted(right) == list(range(STEPS))
    return max(abs(left[step][0] - right[step][0]) for step in left)


def campaign(folder: Path) -> dict[str, Any]:
    """All three trainings."""
    pairs = tiny.write(folder / "pairs.parquet", tiny.rows(ROWS))
    for name in ("whole", "rerun"):
        assert start(pairs, folder / name, 0).wait(SECONDS) == 0
    notes = killed(pairs, folder / "killed")
    weights = [(folder / name / "model/open_clip_model.safetensors").read_bytes() for name in ("whole", "killed")]
    return {
        "kills": notes,
        "steps": STEPS,
        "loss, first and last": [curve(folder / "whole")[step][0] for step in (0, STEPS - 1)],
        "rerun apart": apart(folder / "whole", folder / "rerun"),
        "killed apart": apart(folder / "whole", folder / "killed"),
        "same weights, bit by bit": weights[0] == weights[1],
    }


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    found = campaign(place)
    (place / "faults.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    sys.exit(found["killed apart"] > found["rerun apart"])
