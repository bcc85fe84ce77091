"""Inputs with mutated bytes, media, texts and types: refused in one line, or failed rows, never lost or a crash.

FUZZ_CASES says how many cases (`make fuzz`: 1,000).
"""

import os
from pathlib import Path

import pytest

from tests.fuzz import MUTATIONS, fuzz, tally

CASES = int(os.environ.get("FUZZ_CASES", "60"))


@pytest.mark.timeout(3600)
def test_no_mutated_input_is_lost_or_crashes_the_reader(tmp_path: Path) -> None:
    found = fuzz(tmp_path, seed=0, cases=CASES)
    print("\n".join(f"{count:5d} {mutation}: {outcome}" for (mutation, outcome), count in sorted(found.items())))
    assert found.total() == CASES
    assert {mutation for mutation, _ in found} == {m.__name__ for m in MUTATIONS}
    assert not [outcome for _, outcome in found if outcome.startswith("BROKEN")]


def test_a_case_that_crashed_is_counted_as_broken() -> None:
    lines = ['{"case": 0, "mutation": "media"}', '{"case": 0, "mutation": "media", "outcome": "good rows"}']
    found = tally([*lines, '{"case": 1, "mutation": "types"}'])
    assert found == {("media", "good rows"): 1, ("types", "BROKEN: crashed"): 1}
