"""The enriched texts of a shard: from the cache, else from the language model, which is then put there.

OUT/enriched/<digest>.json    key -> text, of all texts that a shard asks for; put create-only

One object holds a shard's texts, so a run has no more of them than shards. Its name is a digest of its keys: the shards
of other models of a sweep, which have the same inputs, find the same texts, whatever a server would say another time.
Of two runs at once the second takes the first's. Refusals are not kept: a shard that is done again asks again.
"""

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from pipeline import enrichment, storage
from pipeline.enrichment import Ask, Language, RefusalError, Template
from pipeline.seeds import digest

Wanted: TypeAlias = tuple[str, int]  # an original, and the number of its variant


@dataclasses.dataclass(frozen=True)
class Found:
    """The texts of a shard."""

    texts: Mapping[Wanted, str | RefusalError]
    asked: int  # of the language model
    cached: int


class Texts:
    """Enriched texts of one run."""

    def __init__(self, language: Language, template: Template, recipe: str, output: str) -> None:
        self.language, self.template, self.recipe = language, template, recipe
        self.folder = storage.join(output, "enriched")

    def __call__(self, wanted: Iterable[Wanted]) -> Found:
        """The texts of one shard. Each is asked for once, however many inputs share it."""
        keys = {enrichment.key(self.recipe, *want): want for want in wanted}
        kept = self._kept(keys)
        missing = [key for key in keys if key not in kept]
        asks = [Ask(self.template.prompt(keys[key][0]), enrichment.seed(key)) for key in missing]
        said = dict(zip(missing, self.language(asks), strict=True)) if asks else {}
        texts: dict[str, str | RefusalError] = {**said, **self._keep(keys, kept, said)}
        return Found({want: texts[key] for key, want in keys.items()}, len(missing), len(keys) - len(missing))

    def _uri(self, keys: Collection[str]) -> str:
        return storage.join(self.folder, f"{digest(*sorted(keys)).hex()}.json")

    def _kept(self, keys: Collection[str]) -> dict[str, str]:
        uri = self._uri(keys)
        found: dict[str, str] = storage.read_json(uri) if keys and storage.stat_or_none(uri) else {}
        return found

    def _keep(
        self, keys: Collection[str], kept: dict[str, str], said: Mapping[str, str | RefusalError]
    ) -> dict[str, str]:
        """Put the answers, unless some are there; what is there now."""
        answers = {key: text for key, text in said.items() if isinstance(text, str)}
        if kept or not answers:
            return kept
        storage.put_new(self._uri(keys), json.dumps(answers, ensure_ascii=False, indent=0).encode())
        return self._kept(keys)
