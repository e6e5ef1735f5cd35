"""The password for the servers: one, from the environment, and never shown.

Commands that read it elsewhere put it there: into the memory of this process, which ``ps`` does
not show. Everything that a server says goes through :func:`hidden`: some repeat what they refuse.
"""

from __future__ import annotations

import os

PASSWORD_VARIABLE = "FASTBENCH_PASSWORD"  # noqa: S105 - the variable's name

_SECRETS: set[str] = set()
_SHORTEST_PIECE = 6  # of a secret that was cut: what is shorter tells little, and is often a word


def password() -> str:
    """Return the password; empty = log in without one."""
    return os.environ.get(PASSWORD_VARIABLE, "")


def use_password(secret: str) -> None:
    """Take ``secret`` as the password for everything that this process connects to."""
    os.environ[PASSWORD_VARIABLE] = secret


def hide_too(*secrets: str) -> None:
    """Take care that ``secrets``, e.g. a token in a header, are not shown either."""
    _SECRETS.update(secrets)


def hidden(text: str) -> str:
    """Return ``text`` with ``***`` in place of the password and of other secrets.

    So is the beginning of one at the very end: the texts of servers are cut at some length.
    """
    secrets = sorted({password(), *_SECRETS} - {""}, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, "***")
    for secret in secrets:
        text = _without_beginning(secret, text)
    return text


def _without_beginning(secret: str, text: str) -> str:
    for length in range(len(secret) - 1, _SHORTEST_PIECE - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + "***"
    return text
