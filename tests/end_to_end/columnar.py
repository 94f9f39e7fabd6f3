"""A metrics v3 encoder as plain as can be: one series, one point, one number after the other.

The document is like v2's, with three differences: `type` is a word, a resource is a pair, a point is a pair of time
and value, whose value may be a sketch: `{cnt, sum, min, max, k, n}`.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from end_to_end import wire

KINDS = {"count": 1, "rate": 2, "gauge": 3, "sketch": 4}
HAS_UNIT, NO_INDEX = 0x200, 0x100


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


class Strings:
    """A dictionary of strings: index 1 is the first, 0 the empty one."""

    def __init__(self) -> None:
        self.found: dict[bytes, int] = {}

    def index(self, text: str | bytes) -> int:
        raw = text.encode() if isinstance(text, str) else text
        return self.found.setdefault(raw, len(self.found) + 1) if raw else 0

    def table(self) -> bytes:
        return b"".join(varint(len(text)) + text for text in self.found)


class Sets:
    """A dictionary of lists of numbers: index 1 is the first, 0 the empty one."""

    def __init__(self) -> None:
        self.found: dict[tuple[Any, ...], int] = {}

    def index(self, numbers: Sequence[Any]) -> int:
        return self.found.setdefault(tuple(numbers), len(self.found) + 1) if numbers else 0


def differences(numbers: Sequence[int]) -> list[int]:
    return [number - before for number, before in zip(numbers, [0, *numbers], strict=False)]


def tag_sets(sets: Sets) -> list[int]:
    """Return the column of tag sets; a set that begins as an earlier one refers to it."""
    column: list[int] = []
    for numbers, place in sets.found.items():
        earlier = [(other, at) for other, at in sets.found.items() if at < place and numbers[: len(other)] == other]
        base, at = max(earlier, key=lambda pair: len(pair[0]), default=((), 0))
        entries = [*([-at] if at else []), *numbers[len(base) :]]
        column += [len(entries), *differences(entries)]
    return column


def source_of(values: Sequence[float]) -> int:
    """Return the column that holds values exactly: 0 none, 1 integers, 2 singles, 3 doubles."""
    if not any(values):
        return 0
    if all(abs(value) < 2**53 and value == int(value) for value in values):
        return 1
    return 2 if all(abs(value) < 2**127 and as_single(value) == value for value in values) else 3


def as_single(value: float) -> float:
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single


def payload(document: Mapping[str, Any]) -> bytes:
    """Return the body of a metrics v3 payload."""
    names, tags, resources, source_types, units = (Strings() for _ in range(5))
    sets, resource_sets, origins = Sets(), Sets(), Sets()
    columns: dict[str, list[Any]] = {name: [] for name in wire.MESSAGES["MetricData"] if "dict" not in name}
    del columns["unheard_of"]
    values = {1: columns["vals_sint64"], 2: columns["vals_float32"], 3: columns["vals_float64"]}
    for series in document["series"]:
        points = series.get("points", [])
        sketches = series["type"] == "sketch"
        numbers = [n for _, v in points for n in ((v["sum"], v["min"], v["max"]) if sketches else (v,))]
        source = source_of(numbers)
        flags = (HAS_UNIT if series.get("unit") else 0) | (NO_INDEX if series.get("no_index") else 0)
        columns["types"].append(KINDS[series["type"]] | source << 4 | flags)
        columns["name_refs"].append(names.index(series["metric"]))
        columns["tagset_refs"].append(sets.index([tags.index(tag) for tag in series.get("tags", [])]))
        pairs = [(resources.index(kind), resources.index(name)) for kind, name in series.get("resources", [])]
        columns["resources_refs"].append(resource_sets.index(pairs))
        columns["source_type_name_refs"].append(source_types.index(series.get("source_type_name", "")))
        columns["origin_info_refs"].append(origins.index(series.get("origin", [])))
        columns["intervals"].append(series.get("interval", 0))
        columns["num_points"].append(len(points))
        if series.get("unit"):
            columns["unit_refs"].append(units.index(series["unit"]))
        for time, value in points:
            columns["timestamps"].append(time)
            exact = (value["sum"], value["min"], value["max"]) if sketches else (value,)
            if source:
                values[source] += [int(number) if source == 1 else number for number in exact]
            if sketches:
                columns["sketch_num_bins"].append(len(value["k"]))
                columns["sketch_bin_keys"] += differences(value["k"])
                columns["sketch_bin_cnts"] += value["n"]
                columns["vals_sint64"].append(value["cnt"])
    running = {"timestamps", *(name for name in columns if name.endswith("_refs"))}
    metric_data = {name: differences(column) if name in running else column for name, column in columns.items()}
    kinds = [[kind for kind, _ in pairs] for pairs in resource_sets.found]
    hosts = [[name for _, name in pairs] for pairs in resource_sets.found]
    message = wire.COLUMNAR_PAYLOAD(**{name: document[name] for name in ("metadata",) if name in document})
    built = message.metric_data
    for name, column in metric_data.items():
        getattr(built, name).extend(column)
    built.dict_name_str, built.dict_tag_str = names.table(), tags.table()
    built.dict_resource_str, built.dict_source_type_name = resources.table(), source_types.table()
    built.dict_unit_str = units.table()
    built.dict_tagsets.extend(tag_sets(sets))
    built.dict_resource_len.extend(map(len, kinds))
    built.dict_resource_type.extend(n for one in kinds for n in differences(one))
    built.dict_resource_name.extend(n for one in hosts for n in differences(one))
    built.dict_origin_info.extend(n for triple in origins.found for n in triple)
    return bytes(message.SerializeToString())
