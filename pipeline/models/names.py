"""The names that open_clip gives to published models, as places on the hub."""

from pipeline.models.checkpoint import HUB
from pipeline.settings import SettingsError

PREFIX = "open_clip:"


def place(uri: str) -> str:
    """open_clip:<architecture>/<weights>@<commit> as hf://<owner>/<name>@<commit>; any other URI as it is.

    Raises SettingsError for names that open_clip does not know.
    """
    if not uri.startswith(PREFIX):
        return uri
    import open_clip  # takes seconds

    name, at, commit = uri.removeprefix(PREFIX).partition("@")
    architecture, _, weights = name.partition("/")
    known = open_clip.get_pretrained_cfg(architecture, weights) or {}
    if not known.get("hf_hub"):
        listed = [f"{architecture}/{tag}" for tag in open_clip.list_pretrained_tags_by_model(architecture)]
        listed = listed or sorted({model for model, _ in open_clip.list_pretrained()})
        raise SettingsError(f"open_clip knows no {name}; it knows {', '.join(listed)}")
    return f"{HUB}{known['hf_hub'].strip('/')}{at}{commit}"
