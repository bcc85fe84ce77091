"""The judge of a run, for what was not embedded when the run was made: queries, training rows."""

from typing import TYPE_CHECKING

from pipeline.ledger import Plan
from pipeline.models import checkpoint
from pipeline.settings import SettingsError, resolve

if TYPE_CHECKING:
    from pipeline.conditions import Judge


def load(plan: Plan, named: str | None) -> "Judge":
    """From where the run had it, or from the folder that is named. Raises SettingsError for another model."""
    uri, expected = named or plan.judge, plan.identity["model"]["judge"]
    found = checkpoint.fingerprint(uri)
    if found != expected:
        raise SettingsError(f"judge={uri} is another model ({found}) than this run's judge ({expected}); name that one")
    made: Judge = resolve(plan.task.judge).load(str(checkpoint.fetch(uri)), "cpu")  # which takes torch
    return made
