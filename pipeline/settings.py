"""Every setting of every job as frozen dataclasses: the only form in which configuration exists below jobs/."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from pipeline.language import Enrich
from pipeline.safety import Mark, Safety
from pipeline.weights import Model


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which and what to do."""


class RunError(RuntimeError):
    """A run that ended without its result; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Input:
    """Where rows come from."""

    path: str  # Parquet file, folder or glob; local or any fsspec URI
    columns: Mapping[str, str | None]  # role -> column name in the file; None: this input has no such column
    keep: tuple[str, ...]  # extra columns that pass through to the output


@dataclasses.dataclass(frozen=True)
class Task:
    """What is generated from what. A task is one file in conf/task."""

    name: str
    result: str  # "module:attribute" of the kind of its results (results/)
    roles: Mapping[str, str]  # role of an input column -> kind of media (kinds.py)
    required: tuple[str, ...]  # roles without which a row fails
    conditions: tuple[str, ...]  # roles that condition the sampler, in the order of chained guidance
    encoders: Mapping[str, str]  # condition -> "module:attribute" of its encoder
    backend: str  # "module:attribute" that loads model.path into a Denoiser
    judge: str  # "module:attribute" that loads model.judge into a Judge
    options: Mapping[str, Any]  # of this task's encoders, backend and results; part of the recipe
    scores: Mapping[str, str]  # name -> "module:attribute" of a function of one scored sample
    best_by: str  # score by which the report ranks rows


@dataclasses.dataclass(frozen=True)
class Guidance:
    """How the predictions of several condition subsets are combined (diffusion/guidance.py)."""

    scheme: str  # "none" | "single" | "composed" | "chained" | "balanced"
    interval: tuple[float, float] | None  # sigma range in which guidance acts; None: everywhere
    weights: Mapping[str, float]  # modality -> weight; "all" is the scale of scheme=single


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The Ray cluster of a job."""

    address: str | None  # None: the cluster this process belongs to, else a local one for this job alone
    object_store_bytes: int | None  # of a local one; None: Ray's default


@dataclasses.dataclass(frozen=True)
class Actors:
    """Which resources the stages take. None of it changes a byte of any result."""

    samplers: int  # to begin with; 0: as many as the cluster's GPUs allow, or its CPUs if it has none
    max_samplers: int | None  # as nodes join; None: as many as fit where samplers=0, else samplers
    gpus_per_sampler: float
    encoders: int
    gpus_per_encoder: float
    finishers: int  # processes that score, encode media and put
    enrichers: int  # only where texts are enriched
    gpus_per_enricher: float  # of a language model that is a folder
    autoscaling: bool  # the cluster adds nodes for actors that wait, so GPUs need not be there yet


@dataclasses.dataclass(frozen=True)
class Failures:
    """When a run that goes wrong as a whole is ended."""

    max_fraction: float  # more failed rows than this, judged from 100 rows on and at the end, end the run
    time_limit: float  # seconds that one stage may take for one shard; a row that hangs is looked for and fails


@dataclasses.dataclass(frozen=True)
class Select:
    """Which results are worth keeping: the output's column `selected`. Nothing is deleted."""

    by: str  # a score; "-score" where less is better
    top_k: int | None  # at most so many results of each input; None: all
    min_score: float | None  # the least value, of "-score" the negated one, e.g. -20; None: any


@dataclasses.dataclass(frozen=True)
class Storage:
    """Facts about the stores that cannot be found out."""

    shared: bool  # a local path is the same folder on every node


@dataclasses.dataclass(frozen=True)
class Generate:
    """One run of jobs/generate.py."""

    task: Task
    input: Input
    where: str | None  # e.g. "group == 'flags' and n > 3"; grammar in where.py
    limit: int | None  # at most so many inputs; None: all
    num_samples: int
    seed: int
    output: str
    model: Model
    guidance: Guidance
    enrich: Enrich  # see language.py
    safety: Safety  # see safety.py
    mark: Mark
    drop: tuple[str, ...]  # modalities withheld from the sampler (still used for scoring)
    sweep: Mapping[str, tuple[Any, ...]]  # key (cells.py) -> values; their product makes the cells
    scheduler: str
    steps: int
    batch_size: int
    shard_rows: int
    shard_bytes: int
    new_since: tuple[str, ...]  # outputs of earlier runs, or globs of them: what they finished is left out
    select: Select
    failures: Failures
    storage: Storage
    cluster: Cluster
    actors: Actors
    preview: bool
    retry_failed: bool


@dataclasses.dataclass(frozen=True)
class Training:
    """What a model was trained on, to look for results that repeat it."""

    path: str | None  # as input.path; None: do not look
    column: str | None  # that is compared; None: the one that held the run's references
    where: str | None


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """One run of jobs/evaluate.py."""

    run: str
    by: tuple[str, ...]
    groups: str | None  # column of the output whose inputs are drawn together; None: each input by itself
    sets: Mapping[str, str]  # name -> "module:attribute" of a set metric (evaluation/sets)
    features: str | None  # a network of one's own in place of the judge's features (evaluation/features.py)
    judge: str | None  # the run's judge, for what is not stored; None: from where the run had it
    training: Training
    variants: str | None
    cluster: Cluster


@dataclasses.dataclass(frozen=True)
class Compare:
    """One run of jobs/compare.py."""

    run: str
    against: str
    output: str


@dataclasses.dataclass(frozen=True)
class Signing:
    """With what pictures are signed when they leave a run (signing.py)."""

    certificate: str | None  # PEM: the signer's, then those up to, but without, the root; None: nothing is signed
    key: str | None  # PEM, of the certificate


@dataclasses.dataclass(frozen=True)
class Export:
    """One run of jobs/export.py."""

    run: str
    output: str
    format: (
        str  # "parquet" | "webdataset" | of motions "npz" | "bvh" | "glb" | "gif" | "mp4" | of pictures "png" | "webp"
    )
    rows_per_file: int
    c2pa: Signing = Signing(None, None)


@dataclasses.dataclass(frozen=True)
class Search:
    """One run of jobs/search.py. Exactly one of text, image, sketch, audio and row is given."""

    run: str
    text: str | None
    image: str | None
    sketch: str | None
    audio: str | None
    row: str | None
    of: str  # "result", or a role of the inputs
    top_k: int
    where: str | None
    index: str | None  # None: exact search; "faiss"
    judge: str | None  # as in Evaluate
    output: str


@dataclasses.dataclass(frozen=True)
class Verify:
    """One run of jobs/verify.py."""

    run: str


@dataclasses.dataclass(frozen=True)
class Raw:
    """Material that a data set is made from."""

    path: str  # local folder or file


@dataclasses.dataclass(frozen=True)
class Source:
    """What a data set is made from, and how. A source is one file in conf/source."""

    name: str
    factory: str  # "module:attribute" of a function (Prepare) -> Table
    options: Mapping[str, Any]  # of that source; its module says which


@dataclasses.dataclass(frozen=True)
class Prepare:
    """One run of jobs/prepare.py."""

    source: Source
    input: Raw
    output: str
    row_group_rows: int


def resolve(name: str) -> Any:
    """The object that configuration names as "module:attribute": how users plug in code of their own."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"cannot import {name!r} (module:attribute): {error}") from error
