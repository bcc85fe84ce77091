"""What the folder of an image classifier says before it is loaded: its labels, and whether it is whole.

config.json                 id2label names the labels
model.safetensors           weights; a pickle is not read
preprocessor_config.json    how pictures are made ready for it
"""

from collections.abc import Sequence

from pipeline import storage
from pipeline.models import checkpoint
from pipeline.safety import Safety
from pipeline.settings import SettingsError

PREPARED = ("preprocessor_config.json", "processor_config.json")  # either says how pictures are made ready


def weights(safety: Safety) -> dict[str, str]:
    """What names the classifier in a recipe and in each row's provenance; nothing without one.

    Raises SettingsError for a folder that is not there or is none of a classifier, and for labels that it lacks.
    """
    if safety.classifier is None:
        return {}
    known = labels(safety.classifier)
    if unknown := [label for label in safety.unsafe if label not in known]:
        raise SettingsError(f"safety.unsafe={unknown[0]} is no label of {safety.classifier}; its: {', '.join(known)}")
    return {"classifier": checkpoint.fingerprint(safety.classifier)}


def labels(uri: str) -> Sequence[str]:
    """The labels of a classifier. Raises SettingsError that says what its folder lacks."""
    names = {file.uri.rsplit("/", 1)[-1] for file in storage.list_objects(uri)}
    if "config.json" not in names or not names & set(PREPARED):
        raise SettingsError(
            f"safety.classifier={uri} needs config.json and {PREPARED[0]}: a folder as transformers saves it"
        )
    if not any(name.endswith(".safetensors") for name in names):
        raise SettingsError(f"safety.classifier={uri} holds no .safetensors")
    found = storage.read_json(storage.join(uri, "config.json")).get("id2label")
    if not found:
        raise SettingsError(f"safety.classifier={uri} is no classifier: its config.json has no id2label")
    return [str(found[key]) for key in sorted(found, key=int)]
