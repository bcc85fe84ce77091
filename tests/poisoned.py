"""A text encoder for runs that are broken on purpose (saboteur.py)."""

from collections.abc import Sequence

from pipeline.conditions import Condition
from pipeline.conditions.clip import TextEncoder
from tests import saboteur


class Text(TextEncoder):
    """A text encoder that does what a text says."""

    def __call__(self, values: Sequence[str | None]) -> Condition:
        """Evidence of the texts, unless one of them is a poison."""
        saboteur.obey("encode", values)
        return super().__call__(values)
