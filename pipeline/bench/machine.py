"""What measurements hold for: the code, the versions and the machine that made them."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from pipeline.bench.watch import ROOT
from pipeline.settings import SettingsError

MEASURED = ("pipeline", "jobs", "conf")  # folders of the checkout
PACKAGES = ("torch", "diffusers", "ray", "pyarrow")


def described() -> dict[str, str]:
    """Commit, versions, processor, cores and memory."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    cores = str(psutil.cpu_count())
    return {"commit": commit(), "python": platform.python_version(), **versions, "processor": processor()} | {
        "cores": cores,
        "memory": memory,
    }


def commit() -> str:
    """The last one that changed what is measured; with a + where files differ from it. Raises SettingsError without
    git."""
    last, changed = ("log", "-1", "--format=%h", "--", *MEASURED), ("status", "--porcelain", "--", *MEASURED)
    try:
        said = [_git(*words) for words in (last, changed)]
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(
            "measurements are kept with the commit they hold for: run them in a git checkout"
        ) from error
    return said[0] + ("+" if said[1] else "")


def _git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def processor() -> str:
    """Its name."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
