"""Text files of motion capture, line by line, bounded; every mistake names file and line. Nothing is evaluated."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.settings import RunError

MAX_BYTES = 256 * 2**20
MAX_JOINTS = 1_000
MAX_FRAMES = 1_000_000


class FormatError(RunError):
    """A file that is not what it should be; the message says where and why."""


def content(path: Path, limit: int = MAX_BYTES) -> bytes:
    """All bytes of a file. Raises FormatError where there is none, or more than `limit`."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise FormatError(f"{path} has {size:,} bytes; at most {limit:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from error


class Lines:
    """The lines of a text that are not blank, as words, one after the other."""

    def __init__(self, text: str, name: str, comment: str | None = None) -> None:
        """`name` is what errors call the text; lines that begin with `comment` are left out."""
        self.name = name
        rows = ((number, line.split()) for number, line in enumerate(text.split("\n"), 1))
        self._rows = [(number, words) for number, words in rows if words and not (comment and words[0][:1] == comment)]
        self._next = 0

    @classmethod
    def of(cls, path: Path, comment: str | None = None) -> "Lines":
        """The lines of a file."""
        return cls(content(path).decode("utf-8", "replace"), str(path), comment)

    def peek(self) -> list[str]:
        """Words of the next line, which stays the next; none at the end."""
        return self._rows[self._next][1] if self._next < len(self._rows) else []

    def take(self, *expected: str) -> list[str]:
        """Words of the next line after the `expected` ones, with which it must begin."""
        if self._next == len(self._rows):
            self.fail(f"ends where {' '.join(expected) or 'another line'} should be")
        words = self._rows[self._next][1]
        self._next += 1
        if words[: len(expected)] != list(expected):
            self.fail(f"{' '.join(words)[:40]!r} where {' '.join(expected)} should be")
        return words[len(expected) :]

    def numbers(self, words: Sequence[str], count: int) -> list[float]:
        """Exactly `count` finite numbers of the line that was taken last."""
        if len(words) != count:
            self.fail(f"{len(words)} numbers where {count} should be")
        try:
            values = list(map(float, words))
        except ValueError as error:
            self.fail(str(error))
        if not all(map(math.isfinite, values)):
            self.fail("a number that is not finite")
        return values

    def count(self, words: Sequence[str], limit: int) -> int:
        """One whole number between 0 and `limit` of the line that was taken last."""
        if len(words) != 1 or not words[0].isdecimal() or int(words[0]) > limit:
            self.fail(f"{' '.join(words)[:40]!r} where a whole number up to {limit:,} should be")
        return int(words[0])

    def fail(self, what: str) -> NoReturn:
        """Raises FormatError about the line that was taken last."""
        number = self._rows[self._next - 1][0] if self._next else 1
        raise FormatError(f"{self.name}, line {number}: {what}")
