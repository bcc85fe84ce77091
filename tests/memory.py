"""Peak memory of a run's processes by its number of rows: python -m tests.memory FOLDER 1000 10000 100000.

Real pictures (the embedded sample, again and again under new ids), a sampler that does nothing, tiny encoders. Writes
FOLDER/memory.json and prints a table. What counts is a process's private memory; Ray's object store has a fixed size.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pipeline.conditions import Condition, Conditions
from pipeline.diffusion.backends import SketchToImageBackend
from pipeline.models.fusion import Keep
from tests import make, tiny

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "pipeline/starter/samples/openmoji.parquet"
OPTIONS = ["shard_rows=256", "batch_size=64", "steps=1", "actors.samplers=1", "task.backend=tests.memory:Idle"]
SECONDS = 0.2  # between two looks


class Idle(SketchToImageBackend):
    """A model that does nothing: every picture is white."""

    def prepare(self, conditions: Conditions) -> dict[str, Condition]:
        """The conditions as they are."""
        return {m: c.to(self.device, self.dtype) for m, c in conditions.items()}

    def constraint(self, conditions: Conditions) -> None:
        """Nothing has to be kept."""

    def denoise(self, x_t: Tensor, t: Tensor, conditions: Conditions, keep: Keep) -> Tensor:  # noqa: ARG002
        """No noise."""
        return torch.zeros_like(x_t)

    def decode(self, x_0: Tensor) -> Tensor:
        """White."""
        return torch.ones(len(x_0), 3, tiny.SIZE, tiny.SIZE)


def corpus(path: Path, rows: int) -> Path:
    """That many rows of real pictures."""
    sample = pq.read_table(SAMPLE)
    with pq.ParquetWriter(path, sample.schema) as writer:
        for start in range(0, rows, len(sample)):
            part = sample.slice(0, min(len(sample), rows - start))
            ids = pa.array([f"row-{start + i:07d}" for i in range(len(part))])
            writer.write_table(part.set_column(part.column_names.index("id"), sample.schema.field("id"), ids))
    return path


def peaks(driver: subprocess.Popen[bytes]) -> dict[str, float]:
    """MB of private memory at most of the driver, of its largest worker, and of the driver and all workers at once,
    until the driver ends."""
    most: collections.Counter[str] = collections.Counter()
    while driver.poll() is None:
        found = {pid: _process(pid) for pid in _below(driver.pid)}
        workers = [size for title, size in found.values() if title.startswith("ray::")]
        own = found[driver.pid][1]
        for kind, size in {"driver": own, "worker": max(workers, default=0), "all": own + sum(workers)}.items():
            most[kind] = max(most[kind], size)
        time.sleep(SECONDS)
    assert driver.returncode == 0
    return {kind: size / 1024 for kind, size in most.items()}


def _below(root: int) -> list[int]:
    """A process and all that it has started."""
    children: dict[int, list[int]] = collections.defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                children[int((entry / "stat").read_text().rpartition(")")[2].split()[1])].append(int(entry.name))
            except OSError:  # it is gone
                continue
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _process(pid: int) -> tuple[str, int]:
    """(title, kB of private memory) of a process."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return "", 0
    return title, sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measure(folder: Path, rows: int) -> dict[str, float]:
    """One run."""
    models = {"path": str(folder / "generator"), "judge": str(folder / "judge")}
    arguments = make.arguments(models, str(corpus(folder / "in.parquet", rows)), str(folder / f"out-{rows}"), *OPTIONS)
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        driver = subprocess.Popen([sys.executable, "jobs/generate.py", *arguments], cwd=ROOT, stdout=log, stderr=log)
        found = peaks(driver)
    return {"rows": rows, "seconds": time.monotonic() - began, **found}


def main(output: str, *counts: str) -> None:
    """Measure runs of so many rows each."""
    os.environ["PYTHONPATH"] = str(ROOT)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny.generator_folder(folder / "generator", tiny.clip_folder(folder / "clip", seed=0))
        tiny.clip_folder(folder / "judge", seed=1)
        print("| rows | driver, MB | largest worker, MB | seconds |\n| ---: | ---: | ---: | ---: |")
        for count in map(int, counts):
            found.append(measure(folder, count))
            row = found[-1]
            print(f"| {count:,} | {row['driver']:.0f} | {row['worker']:.0f} | {row['seconds']:.0f} |", flush=True)
    grown = (found[-1]["driver"] - found[0]["driver"]) * 2**20 / (found[-1]["rows"] - found[0]["rows"])
    print(f"driver: {grown:.0f} bytes a row; largest worker: {found[-1]['worker'] / found[0]['worker']:.2f} times")
    Path(output).mkdir(parents=True, exist_ok=True)
    (Path(output) / "memory.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
