"""A document in YAML as structs, and what is to be said of one that does not become them.

A field's annotation says what is allowed, in the words an error uses.
"""

import difflib
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias, TypeVar, get_args

import msgspec
import yaml

from opstrace.errors import ConfigError

_S = TypeVar("_S", bound=msgspec.Struct)

# What to say of a key that a struct does not have: by the struct, the key, what stands before it. None: the usual.
Advice: TypeAlias = Callable[[type[msgspec.Struct], Any, str], str | None]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which one key given twice is a fault, not a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if (key := str(key_node.value)) in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: the key {key} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def mapping_of(text: str) -> Mapping[str, Any]:
    """Return what a document in YAML says; raise ConfigError for what is none, or no mapping."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"not valid YAML: {where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:  # a date such as 2026-13-45, or brackets a thousand deep
        raise ConfigError(f"not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError("the document must be a mapping of keys to values, such as `tenants: [default]`")
    return document


class StructReader:
    """Makes structs of what a document says; raises ConfigError at the first fault, which it names by its place."""

    def __init__(self, advice: Advice) -> None:
        self._advice = advice

    def read(self, kind: type[_S], document: Mapping[str, Any]) -> _S:
        """Return a document as a struct."""
        return self._struct(kind, document, "")

    def _struct(self, kind: type[_S], raw: Any, prefix: str) -> _S:
        if not isinstance(raw, dict):
            raise ConfigError(
                f"{prefix.rstrip('.')}: {shown(raw)} is not allowed; it must be a mapping of keys to values"
            )
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key in raw:
            if key not in fields:
                raise ConfigError(self._advice(kind, key, prefix) or _unknown_key(kind, key, prefix))
        for name, field in fields.items():
            if field.required and name not in raw:
                raise ConfigError(f"{prefix}{name} is missing; it must be {allowed(field.type)}")
        return kind(**{key: self._value(fields[key].type, value, prefix + key) for key, value in raw.items()})

    def _value(self, kind: Any, raw: Any, key: str) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind, raw, f"{key}.")
        if inner := struct_of_list(kind):
            return self._structs(inner, kind, raw, key)
        if inner := struct_of_mapping(kind):
            return self._structs_by_name(inner, kind, raw, key)
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            element = re.search(r"`\$\[(\d+)\]`", str(error))
            where = f"{key}[{element[1]}]" if element else key
            found = raw[int(element[1])] if element else raw
            raise ConfigError(f"{where}: {shown(found)} is not allowed; {key} must be {allowed(kind)}") from error

    def _structs_by_name(self, inner: type[_S], kind: Any, raw: Any, key: str) -> dict[str, _S]:
        if not isinstance(raw, dict):
            raise ConfigError(f"{key}: {shown(raw)} is not allowed; it must be {allowed(kind)}")
        return {str(name): self._struct(inner, element, f"{key}.{plain(name)}.") for name, element in raw.items()}

    def _structs(self, inner: type[_S], kind: Any, raw: Any, key: str) -> tuple[_S, ...]:
        if not isinstance(raw, list):
            raise ConfigError(f"{key}: {shown(raw)} is not allowed; it must be {allowed(kind)}")
        return tuple(self._struct(inner, element, f"{key}[{i}].") for i, element in enumerate(raw))


def struct_of_list(kind: Any) -> type[msgspec.Struct] | None:
    """Return what a list of structs is a list of; None for anything else."""
    of = get_args(next(iter(get_args(kind)), None))
    return of[0] if of and isinstance(of[0], type) and issubclass(of[0], msgspec.Struct) else None


def struct_of_mapping(kind: Any) -> type[msgspec.Struct] | None:
    """Return what a mapping of names to structs is a mapping to; None for anything else."""
    of = get_args(next(iter(get_args(kind)), None))
    return of[1] if len(of) > 1 and isinstance(of[1], type) and issubclass(of[1], msgspec.Struct) else None


def _unknown_key(kind: type[msgspec.Struct], key: Any, prefix: str) -> str:
    """Say that a key is none, and what comes next to it."""
    said = f"{prefix}{plain(key)} is not a key of the config"
    close = difflib.get_close_matches(str(key), kind.__struct_fields__, n=1)
    return (
        f"{said}; the closest one is {prefix}{close[0]}" if close else f"{said}; docs/configuration.md has them all"
    )


def plain(key: Any) -> str:
    """Return a key as it is written, on one line."""
    return str(key) if str(key).isprintable() else repr(key)


def allowed(kind: Any) -> str:
    """Return what an annotation says is allowed."""
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
    return str(metas[0].description)


def shown(value: Any) -> str:
    """Return a value as errors show it: on one line, and no longer than that."""
    text = (
        {None: "nothing", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else repr(value)
    )
    return text if text and len(text) <= 80 else f"{text!s:.77}..."
