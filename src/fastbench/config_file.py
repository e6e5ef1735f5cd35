"""Configuration files: TOML whose keys are the fields of :class:`fastbench.config.RunConfig`.

Tables ``[command]`` and ``[tls]`` hold those of their classes, each ``[[stream]]`` what one stream
sets for itself. What is read stays plain, so that options can go before it.
"""

from __future__ import annotations

import difflib
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from fastbench import topology
from fastbench.config import CommandConfig, RunConfig, StreamConfig, TlsConfig
from fastbench.errors import UsageError
from fastbench.streams import OWN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TABLES: dict[str, type] = {"command": CommandConfig, "tls": TlsConfig}
STREAM_KEYS = ("name", "weight", *OWN_FIELDS)
_TYPES: dict[type, dict[str, Any]] = {
    type_: get_type_hints(type_) for type_ in (RunConfig, CommandConfig, TlsConfig)
}
_STREAM_TYPES = {"name": str, "weight": float} | _TYPES[RunConfig]


def read_config(path: Path) -> dict[str, Any]:
    """Return the values of a file by field; tables are dictionaries, ``streams`` a list of them.

    Raises :class:`UsageError` naming the file, the key and the remedy.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        msg = f"--config {path}: cannot be read: {error.strerror or error}"
        raise UsageError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"--config {path}: is not TOML: {error}"
        raise UsageError(msg) from error
    streams = found.pop("stream", [])
    known = [name for name in _TYPES[RunConfig] if name != "streams"]
    values = _table(found, [*known, "stream"], _TYPES[RunConfig], f"{path}: ")
    if not isinstance(streams, list) or not all(isinstance(s, dict) for s in streams):
        msg = f"{path}: stream: write each as a table [[stream]]"
        raise UsageError(msg)
    if "command" in values:
        values.setdefault("workload", "command")
    values["streams"] = [_stream(s, f"{path}: [[stream]] {i + 1}") for i, s in enumerate(streams)]
    return values


def make_config(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of plain values, as :func:`read_config` has them.

    Tables may be dictionaries of fields, or configurations.
    Raises :class:`UsageError` as the configuration does.
    """
    fields = dict(values)
    streams = fields.pop("streams", ())
    tables = {n: fields.pop(n) for n in TABLES if isinstance(fields.get(n), dict)}
    return RunConfig(
        **fields,
        **{name: _make(name, table) for name, table in tables.items()},
        streams=tuple(_make_stream(stream, tables) for stream in streams),
    )


def _make(name: str, table: Mapping[str, Any]) -> Any:
    made = TABLES[name](**table)
    return None if made == TABLES[name]() else made


def _make_stream(
    values: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
) -> StreamConfig:
    """Return a stream; its tables go before the run's, key by key."""
    own = dict(values)
    name, weight = own.pop("name"), own.pop("weight", None)
    try:
        made = {
            key: _make(key, {**tables.get(key, {}), **own.pop(key)}) for key in TABLES if key in own
        }
    except UsageError as error:
        msg = f"stream {name!r}: {error}"
        raise UsageError(msg) from error
    return StreamConfig(name=name, weight=weight, own=own | made)


def _stream(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "name" not in found:
        msg = f"{where}: needs a name"
        raise UsageError(msg)
    return _table(found, STREAM_KEYS, _STREAM_TYPES, f"{where} {found['name']!r}: ")


def _table(
    found: Mapping[str, Any], known: Iterable[str], hints: Mapping[str, Any], where: str
) -> dict[str, Any]:
    _check_keys(found, tuple(known), where)
    values = {}
    for key, value in found.items():
        if key in TABLES:
            if not isinstance(value, dict):
                msg = f"{where}{key}: must be a table [{key}]"
                raise UsageError(msg)
            hints_of = _TYPES[TABLES[key]]
            values[key] = _table(value, hints_of, hints_of, f"{where}[{key}] ")
        else:
            values[key] = _value(key, value, hints[key], where)
    return values


def _check_keys(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            elsewhere = "belongs to the run, not to a stream" if key in _TYPES[RunConfig] else ""
            guess = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            msg = f"{where}{key}: {elsewhere or f'unknown key; {guess}'}"
            raise UsageError(msg)


def _value(key: str, value: Any, hint: Any, where: str) -> Any:
    try:
        if key == "commands" and isinstance(value, list):
            value = [shlex.split(c) if isinstance(c, str) else c for c in value]
        if key == "cpus" and isinstance(value, str):
            value = topology.parse_list(value)
        return msgspec.convert(value, hint, dec_hook=_decode)
    except (msgspec.ValidationError, ValueError) as error:
        msg = f"{where}{key} = {value!r}: {error}"
        raise UsageError(msg) from error


def _decode(kind: type, value: Any) -> Any:
    """Return a path of a text: the one type that TOML does not have."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    msg = f"Expected a text, got `{type(value).__name__}`"
    raise ValueError(msg)
