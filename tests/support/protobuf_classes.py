"""Messages in protobuf's own library, described in a few words: the oracle for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_F = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bool": _F.TYPE_BOOL,
    "int32": _F.TYPE_INT32,  # an enum too: on the wire they are alike
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "uint64": _F.TYPE_UINT64,
    "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
}


def classes(package: str, messages: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the classes of messages by name, each given as its fields, ``1 name string``.

    ``*`` before a type: repeated; ``%``: a map from strings. A type that is none is a message.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for line in fields:
            _add(package, message, line)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def _add(package: str, message: descriptor_pb2.DescriptorProto, line: str) -> None:
    number, field, kind = line.split()
    plain = kind.lstrip("*%")
    added = message.field.add(name=field, number=int(number))
    added.label = _F.LABEL_REPEATED if kind != plain else _F.LABEL_OPTIONAL
    added.type = _TYPES.get(plain, _F.TYPE_MESSAGE)
    if plain not in _TYPES:
        added.type_name = f".{package}.{plain}"
    if kind.startswith("%"):
        entry = message.nested_type.add(name=f"{field.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        for pair in ("1 key string", f"2 value {plain}"):
            _add(package, entry, pair)
        added.type = _F.TYPE_MESSAGE
        added.type_name = f".{package}.{message.name}.{entry.name}"
