"""Options declared once, in groups, and handed to the commands that share them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

if TYPE_CHECKING:
    from collections.abc import Callable


class Group:
    """Options that belong together: each an annotated class attribute, its value the default.

    An attribute without a value is required. A group may extend another and declare an option of
    it anew. ``PANEL``: the heading in the help; empty = none.
    """

    PANEL: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What the options of a command say, by name.

    ``values``: of all options; lists are tuples. ``written``: those that the user wrote.
    """

    values: dict[str, Any]
    written: frozenset[str]


def gathers(*groups: type[Group]) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """Make a function of :class:`Given` a command that has the options of ``groups``."""
    parameters = [p for group in groups for p in _parameters(group)]

    def decorate(command: Callable[[Given], None]) -> Callable[..., None]:
        def called(ctx: typer.Context, **values: Any) -> None:
            sources = {name: ctx.get_parameter_source(name) for name in values}
            written = {name for name, s in sources.items() if s and s.name != "DEFAULT"}
            command(Given({k: _frozen(v) for k, v in values.items()}, frozenset(written)))

        context = inspect.Parameter("ctx", _KIND, annotation=typer.Context)
        called.__doc__, called.__name__ = command.__doc__, command.__name__
        called.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
        vars(called)["__signature__"] = inspect.Signature([context, *parameters])
        return called

    return decorate


_KIND = inspect.Parameter.KEYWORD_ONLY


def _parameters(group: type[Group]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            name,
            _KIND,
            annotation=_under_heading(hint, group.PANEL),
            default=getattr(group, name, inspect.Parameter.empty),
        )
        for name, hint in hints.items()
        if get_origin(hint) is not ClassVar
    ]


def _under_heading(hint: Any, panel: str) -> Any:
    for info in get_args(hint)[1:]:
        if isinstance(info, OptionInfo):
            info.rich_help_panel = panel or None
    return hint


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
