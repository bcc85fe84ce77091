"""Enrich: a language model rewrites the text of each input before anything is encoded, where settings name one.

With n variants each input becomes n rows of the block, one for each text, with the planned rows of its samples:
sample k belongs to variant k % n. From here on a variant is an input like any other.
"""

import functools
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import enrichment, schema
from pipeline.enrichment import Language, RefusalError, Template
from pipeline.enrichment.endpoint import Endpoint
from pipeline.enrichment.texts import Texts
from pipeline.models import checkpoint
from pipeline.patience import StorageError
from pipeline.schema import Error
from pipeline.settings import Generate
from pipeline.stages import Job, attempt, failure
from pipeline.stages.decode import decoded
from pipeline.stages.device import choose_device
from pipeline.stages.load import PLANNED

TEXT_NAMES = [field.name for field in schema.TEXTS]


class Enrich:
    """Callable on the block that `Load` made; replaces its text, adds schema.TEXTS. See the module."""

    def __init__(self, job: Job) -> None:
        self.settings = settings = job.settings
        self.role = enrichment.text_role(settings.task) or ""
        template = Template.read(settings.enrich.template)
        names = {name: job.provenance[name] for name in ("language", "template")}
        if template.fingerprint != names["template"]:
            raise StorageError(f"{settings.enrich.template} has changed since the run was planned; use another output=")
        recipe = enrichment.recipe(settings.enrich, names, settings.seed)
        self.texts = Texts(_language(settings, names["language"]), template, recipe, settings.output)

    def __call__(self, block: pa.Table) -> pa.Table:
        """The block with the enriched text in place of the original, columns schema.TEXTS, and errors."""
        began = time.monotonic()
        block = split(block, self.settings.enrich.variants)
        errors: list[Error | None] = block["error"].to_pylist()
        originals = self._originals(block, errors)
        wants = [(text, row % self.settings.enrich.variants) for row, text in enumerate(originals) if text is not None]
        found = self.texts(wants)
        said = iter(found.texts[want] for want in wants)
        answers = [None if text is None else next(said) for text in originals]
        made = _columns(block) | self._text(block, originals, answers, errors)
        facts = {"asked": found.asked, "cached": found.cached, "seconds.enrich": time.monotonic() - began}
        return pa.table(made | {name: pa.array([value] * len(answers)) for name, value in facts.items()})

    def _originals(self, block: pa.Table, errors: Sequence[Error | None]) -> list[str | None]:
        """The text of each row that has one and no error. What is wrong with a cell is said when it is decoded."""
        if self.role not in block.column_names:
            return [None] * len(block)
        cells = (functools.partial(decoded, "text", cell) for cell in block[self.role])
        return [attempt("enrich", "", c)[0] if e is None else None for c, e in zip(cells, errors, strict=True)]

    def _text(
        self,
        block: pa.Table,
        originals: Sequence[str | None],
        answers: Sequence[str | RefusalError | None],
        errors: Sequence[Error | None],
    ) -> dict[str, Any]:
        """The columns that say what conditions each row."""
        refused = [failure("enrich", answer) if isinstance(answer, RefusalError) else None for answer in answers]
        keep = self.settings.enrich.on_failure == "keep"
        texts = [
            (original if keep else None) if isinstance(answer, RefusalError) else answer
            for original, answer in zip(originals, answers, strict=True)
        ]
        own: dict[str, Any] = dict(
            zip(TEXT_NAMES, (originals, texts, [r and r["message"] for r in refused]), strict=True)
        )
        made = {name: pa.array(values, pa.string()) for name, values in own.items()}
        if not keep:
            made["error"] = pa.array([e or r for e, r in zip(errors, refused, strict=True)], schema.ERROR)
        if any(text is not None for text in texts):  # other cells stay as they are
            made[self.role] = pc.coalesce(made["enriched"], block[self.role].cast(pa.string()))
        return made


def split(block: pa.Table, variants: int) -> pa.Table:
    """Each row as `variants` rows, one after the other, with the planned rows whose sample each of them is for."""
    planned = [
        [p for p in own if p["sample_index"] % variants == variant]
        for own in block["planned"].to_pylist()
        for variant in range(variants)
    ]
    rows = block.take(pa.array([row for row in range(len(block)) for _ in range(variants)], pa.int32()))
    return rows.set_column(rows.column_names.index("planned"), "planned", pa.array(planned, PLANNED))


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _language(settings: Generate, expected: str) -> Language:
    """The language model of a run."""
    enrich = settings.enrich
    if not enrich.local:
        return Endpoint(enrich)
    from pipeline.enrichment.local import Local

    return Local(
        checkpoint.fetch_planned(str(enrich.model), expected),
        choose_device(settings.actors.gpus_per_enricher > 0),
        batch_size=settings.batch_size,
        temperature=enrich.temperature,
        max_tokens=enrich.max_tokens,
    )
