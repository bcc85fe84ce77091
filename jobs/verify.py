"""Whether every planned row of a run ended exactly once: python jobs/verify.py run=OUT (--help lists every key)."""

from jobs.cli import main, output_root
from pipeline import storage
from pipeline.settings import Verify


def verify(settings: Verify) -> str:
    """The audit in words. Raises RunError if it is not finished, or not lawful."""
    from pipeline import audit

    return audit.verify(storage.absolute(settings.run, output_root()))


if __name__ == "__main__":
    main("verify", Verify, verify)
