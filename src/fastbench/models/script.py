"""TorchScript scripts: functions that a server runs before and after a model."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastbench.errors import ModelError, NoModelError

if TYPE_CHECKING:
    from pathlib import Path

#: Run before the model, on the tensor that was sent; and after it, on the model's answer.
BEFORE = "pre_process"
AFTER = "post_process"


@dataclass(frozen=True, slots=True)
class Script:
    """A script file. ``functions``: those of :data:`BEFORE` and :data:`AFTER` that it defines."""

    name: str
    source: str
    functions: tuple[str, ...]


def read_script(path: Path) -> Script:
    """Read a script; which functions it has is told by its text, for TorchScript is Python.

    Raises :class:`ModelError`: unreadable, not Python, or neither of the two functions in it.
    """
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"script {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise NoModelError(msg) from error
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        msg = f"script {path}{line}: is not TorchScript: {getattr(error, 'msg', error)}"
        raise ModelError(msg) from error
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    functions = tuple(name for name in (BEFORE, AFTER) if name in defined)
    if not functions:
        msg = f"script {path} defines neither {BEFORE} nor {AFTER}: there is nothing to run"
        raise ModelError(msg)
    return Script(path.stem, source, functions)
