"""What a similarity is read against, from stored embeddings alone: what the references themselves reach
against their own input (ceiling), and what the results reach against another input (chance)."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline import results
from pipeline.evaluation.intervals import Estimate
from pipeline.report.choice import estimate
from pipeline.report.facts import Facts
from pipeline.report.space import Point, Vector

SIMILARITY = "pipeline.scores.similarity:"  # a score of that module compares a result with the role behind the colon


def anchors(facts: Facts, score: str, cell: str) -> tuple[Estimate, Estimate] | None:
    """(ceiling, chance) of a score over the sampled inputs; None for scores that embeddings do not give."""
    function, reference = facts.plan.task.scores[score], results.of(facts.plan.task).reference or ""
    role = function.removeprefix(SIMILARITY)
    points = [p for p in facts.space if role in p.inputs and cell in p.results]
    if role == function or len(points) < 2:
        return None
    ceiling = [_cosine(p.inputs.get(reference), p.inputs[role]) for p in points]
    chance = [_cosine(p.results[cell], other.inputs[role]) for p, other in zip(points, _others(points), strict=True)]
    return estimate(np.array(ceiling)), estimate(np.array(chance))


def _others(points: Sequence[Point]) -> list[Point]:
    """Another input for each, none twice."""
    return [*points[1:], points[0]]


def _cosine(a: Vector | None, b: Vector) -> float:
    return math.nan if a is None else float(a @ b)
