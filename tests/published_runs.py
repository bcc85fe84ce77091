"""Runs of a published checkpoint from and to a real S3 server: python -m tests.published_runs [ROWS].

ROWS rows (2,000), a tiny random Stable Diffusion 1.5 with a T2I-Adapter, all of it on S3; one run for each of three
guidance schemes, each audited by jobs/verify.py.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fsspec

from tests import parity, tiny
from tests.s3 import seaweed

SCHEMES = ("single", "composed", "chained")
SETTINGS = ["family=stable_diffusion", "steps=4", "shard_rows=128", "batch_size=16", "actors.samplers=2"]


def put(folder: Path, uri: str) -> str:
    """A folder or file copied to a store."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.put(str(folder), path, recursive=folder.is_dir())
    return uri


def job(name: str, *arguments: str) -> str:
    """The last line that a job says; raises where it fails."""
    command = [sys.executable, f"jobs/{name}.py", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def main(rows: int) -> None:
    """Put everything on S3, run, verify."""
    with tempfile.TemporaryDirectory() as name, seaweed() as variables:
        folder, bucket = Path(name), f"s3://{variables.pop('BUCKET')}"
        os.environ.update(variables)
        clip = tiny.clip_folder(folder / "judge", seed=1)
        places = {
            "model.path": put(parity.folder("stable_diffusion"), f"{bucket}/sd"),
            "model.judge": put(clip, f"{bucket}/judge"),
            "input.path": put(tiny.write(folder / "pairs.parquet", tiny.rows(rows), 256), f"{bucket}/pairs.parquet"),
        }
        adapter = put(parity.folder("t2i:stable_diffusion"), f"{bucket}/adapter")
        given = [*SETTINGS, *(f"{key}={uri}" for key, uri in places.items()), f"model.adapters=[{adapter}]"]
        for scheme in SCHEMES:
            began, output = time.monotonic(), f"{bucket}/{scheme}"
            job("generate", *given, f"guidance={scheme}", f"output={output}")
            seconds = time.monotonic() - began
            print(f"{scheme}: {job('verify', f'run={output}')} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
