"""The generator's folder as a report may read it: nothing, where it is gone or holds another model now."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.ledger import Plan
from pipeline.models import checkpoint
from pipeline.patience import StorageError
from pipeline.settings import SettingsError


@dataclasses.dataclass(frozen=True)
class Model:
    """The folder that a run was made with, or why there is none to read."""

    uri: str | None
    why: str = ""

    def json(self, *parts: str) -> Mapping[str, Any] | None:
        """A JSON file of the folder, None where there is none."""
        uri = self.file(*parts)
        return storage.read_json(uri) if uri else None

    def file(self, *parts: str) -> str | None:
        """URI of a file of the folder, None where there is none."""
        found = storage.join(self.uri, *parts) if self.uri else None
        return found if found and storage.stat_or_none(found) else None


def find(plan: Plan, uri: str) -> Model:
    """A folder of a run's generators, if it still is what the run was planned with."""
    try:
        now = checkpoint.fingerprint(uri)
    except (StorageError, SettingsError) as error:
        return Model(None, str(error))
    known = plan.identity["model"]
    return (
        Model(uri)
        if now in [*known["model"], known.get("generator")]
        else Model(None, f"{uri} holds another model now")
    )
