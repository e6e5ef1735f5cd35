"""A cursor over the words of one request, which the parsers of commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.serve.resp import CommandError

if TYPE_CHECKING:
    from fastbench.serve.resp import Argument, Request

LONGEST_KEYWORD = 32
MISMATCH = "does not match the number of given arguments"  # how many errors end


class Words:
    """The arguments of a command, taken one after another."""

    def __init__(self, words: Request, position: int = 1) -> None:
        """Start behind the command's name; ``position`` is the index of the next word."""
        self._words = words
        self.position = position

    def __len__(self) -> int:
        """Words that are left."""
        return len(self._words) - self.position

    def keyword(self) -> str:
        """Return the next word in upper case without taking it; "" at the end."""
        return upper(self._words[self.position]) if len(self) else ""

    def skip(self, keyword: str) -> bool:
        """Take the next word if it is ``keyword``."""
        found = self.keyword() == keyword
        self.position += found
        return found

    def take(self) -> Argument:
        """Take the next word; there must be one."""
        self.position += 1
        return self._words[self.position - 1]

    def key(self) -> bytes:
        """Take the next word as a key or a name."""
        return bytes(self.take())

    def keys(self, count: int) -> list[bytes]:
        """Take ``count`` words as keys; there must be as many."""
        return [self.key() for _ in range(count)]

    def counted(self, no_count: str, too_few: str, low: int | None = None) -> list[bytes]:
        """Take a count of at least ``low`` and as many keys; else raise one of the errors."""
        count = self.integer(no_count, low)
        if not 0 <= count <= len(self):
            raise CommandError(too_few)
        return self.keys(count)

    def rest(self) -> Request:
        """Take all that is left."""
        taken, self.position = self._words[self.position :], len(self._words)
        return taken

    def integer(self, error: str, low: int | None = None) -> int:
        """Take an integer of at least ``low``; anything else raises ``error``."""
        value = integer(self.take()) if len(self) else None
        if value is None or (low is not None and value < low):
            raise CommandError(error)
        return value


def upper(word: Argument) -> str:
    """Return a word in upper case, to compare it with a keyword."""
    return bytes(word[:LONGEST_KEYWORD]).decode("latin-1").upper()


def integer(word: Argument) -> int | None:
    """Return the decimal integer that ``word`` is, else None."""
    text = bytes(word[:LONGEST_KEYWORD])
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(text) != len(word):
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def wrong_arity(command: str) -> CommandError:
    """Return the error for too few or too many arguments; ``command`` in the case to show."""
    return CommandError(f"ERR wrong number of arguments for '{command}' command")
