"""The password for the servers: one, from the environment, and never shown.

Commands that read it elsewhere put it there: into the memory of this process, which ``ps`` does
not show. Everything that a server says goes through :func:`hidden`: some repeat what they refuse.
"""

from __future__ import annotations

import os

PASSWORD_VARIABLE = "FASTBENCH_PASSWORD"  # noqa: S105 - the variable's name

_SECRETS: set[str] = set()


def password() -> str:
    """Return the password; empty = log in without one."""
    return os.environ.get(PASSWORD_VARIABLE, "")


def use_password(secret: str) -> None:
    """Take ``secret`` as the password for everything that this process connects to."""
    os.environ[PASSWORD_VARIABLE] = secret


def hide_too(secret: str) -> None:
    """Take care that ``secret``, e.g. a token in a header, is not shown either."""
    _SECRETS.add(secret)


def hidden(text: str) -> str:
    """Return ``text`` with ``***`` in place of the password and of other secrets."""
    for secret in sorted({password(), *_SECRETS} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
