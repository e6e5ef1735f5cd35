"""What a run counts, in words: inferences of a model, or commands where no model is asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INFERENCE, COMMAND, REQUEST = "inference", "command", "request"
_WORD = re.compile(r"\b(an )?(inference)(?=s?\b)", re.IGNORECASE)


def counted(config: Mapping[str, Any]) -> str:
    """Return what a run with this configuration counts, in the singular.

    ``command`` where all of its streams send commands, ``request`` where some of them do.
    """
    run = config.get("workload")
    each = {(s.get("workload") or run) == "command" for s in config.get("streams") or [config]}
    return (COMMAND if all(each) else REQUEST) if any(each) else INFERENCE


def wording(config: Mapping[str, Any]) -> Callable[[str], str]:
    """Return what makes a sentence on inferences one on what a run really counts."""
    word = counted(config)
    return lambda text: text if word == INFERENCE else _WORD.sub(lambda m: _like(m, word), text)


def _like(found: re.Match[str], word: str) -> str:
    """Return ``word`` with its article and its capitals as they were found."""
    article, old = found.group(1) or "", found.group(2)
    capitals = word.upper() if old.isupper() else word.capitalize() if old[0].isupper() else word
    return article.replace("an ", "a ") + capitals
