"""Blocks as the engine takes them in: a table of series, one of float samples, and those of samples of other kinds.

A series that has histograms is stored as two: its floats, and its histograms under a number of their own; so is one
with samples that say when their counting began. Nothing about series of plain floats changes, and a query knows from
`series` alone whether there is anything else to read.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from opstrace import ragged
from opstrace.store.backend import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from opstrace.store.histogram import NativeHistogram

_MS_PER_DAY = 86_400_000
# Precedes the labels in the hash of a series that is no plain one; no label has an empty name.
_MARKERS = {"samples": (), "started": (("", "started"),), "histograms": (("", "histograms"),)}


@dataclass(frozen=True, slots=True)
class BlockRows:
    """What blocks become, a table of the store each."""

    series: pa.Table
    samples: pa.Table
    started_samples: pa.Table
    histograms: pa.Table


@dataclass(frozen=True, slots=True)
class _Ids:
    """The numbers of a block's series, and of their metrics' names."""

    metrics: "NDArray[np.uint64]"
    series: "NDArray[np.uint64]"
    owners: "NDArray[np.int64]"  # which series a sample belongs to, one a sample


def rows_of_blocks(blocks: Iterable[tuple[str, Block]]) -> BlockRows | None:
    """Return what blocks of tenants become; nothing without samples."""
    made = [_rows(tenant, block) for tenant, block in blocks if len(block.timestamps)]
    if not made:
        return None
    names = [table.name for table in fields(BlockRows)]
    return BlockRows(*(pa.concat_tables([getattr(rows, name) for rows in made]) for name in names))


def _rows(tenant: str, block: Block) -> BlockRows:
    names = [labels.get("__name__", "") for labels in block.labels]
    pairs = [sorted((k, v) for k, v in labels.items() if v and k != "__name__") for labels in block.labels]
    owners = ragged.owners(np.diff(block.offsets))
    metrics = np.array([_digest(name) for name in names], dtype=np.uint64)
    parts, series = [], []
    for aspect, places in _places(block).items():
        numbers = [
            _digest(name, (*_MARKERS[aspect], *pair)) for name, pair in zip(names, pairs, strict=True) if len(places)
        ]
        ids = _Ids(metrics, np.array(numbers, dtype=np.uint64), owners)
        series.append(_series(tenant, aspect, block, ids, names, pairs, places))
        parts.append(_COLUMNS[aspect](block, ids, places, tenant))
    return BlockRows(pa.concat_tables(series), *parts)


def _places(block: Block) -> "dict[str, NDArray[np.int64]]":
    """Return where a block has plain floats, floats that say when their counting began, and histograms."""
    nowhere = np.zeros(len(block.timestamps), dtype=bool)
    filled = nowhere if block.histograms is None else np.array([one is not None for one in block.histograms])
    started = nowhere if block.start_times is None else (block.start_times != 0) & ~filled
    of_aspects = {"samples": ~filled & ~started, "started": started, "histograms": filled}
    return {aspect: np.flatnonzero(there) for aspect, there in of_aspects.items()}


def _series(
    tenant: str,
    aspect: str,
    block: Block,
    ids: _Ids,
    names: Sequence[str],
    pairs: Sequence[Sequence[tuple[str, str]]],
    places: "NDArray[np.int64]",
) -> pa.Table:
    """Return a row for each series and day on which it has one of these samples."""
    days = block.timestamps[places] // _MS_PER_DAY
    seen = np.unique(np.stack([ids.owners[places], days], axis=1), axis=0)
    owners = seen[:, 0]
    return pa.table(
        {
            "tenant": pa.array([tenant] * len(owners), pa.string()),
            "aspect": pa.array([aspect] * len(owners), pa.string()),
            "day": pa.array(seen[:, 1].astype(np.int32), pa.date32()),
            "name": pa.array([names[i] for i in owners], pa.string()),
            "metric": ids.metrics[owners],
            "series": ids.series[owners],
            "keys": pa.array([[k for k, _ in pairs[i]] for i in owners], pa.list_(pa.string())),
            "contents": pa.array([[v for _, v in pairs[i]] for i in owners], pa.list_(pa.string())),
        }
    )


def _samples(block: Block, ids: _Ids, places: "NDArray[np.int64]", tenant: str) -> pa.Table:
    owners = ids.owners[places]
    return pa.table(
        {
            "tenant": pa.array([tenant] * len(places), pa.string()),
            "metric": ids.metrics[owners],
            "series": ids.series[owners],
            "timestamp": block.timestamps[places],
            "value": pa.array(block.values[places], from_pandas=False),
        }
    )


def _started(block: Block, ids: _Ids, places: "NDArray[np.int64]", tenant: str) -> pa.Table:
    starts = np.zeros(0, dtype=np.int64) if block.start_times is None else block.start_times[places]
    return _samples(block, ids, places, tenant).append_column("start", pa.array(starts))


def _histograms(block: Block, ids: _Ids, places: "NDArray[np.int64]", tenant: str) -> pa.Table:
    owners = ids.owners[places]
    found: list[NativeHistogram] = [] if block.histograms is None else block.histograms[places].tolist()

    def floats(values: Iterable[float]) -> pa.Array:
        return pa.array(values, pa.float64())

    return pa.table(
        {
            "tenant": pa.array([tenant] * len(places), pa.string()),
            "metric": ids.metrics[owners],
            "series": ids.series[owners],
            "timestamp": block.timestamps[places],
            "schema": pa.array([one.schema for one in found], pa.int8()),
            "count": floats(one.count for one in found),
            "sum": floats(one.sum for one in found),
            "zero_threshold": floats(one.zero_threshold for one in found),
            "zero_count": floats(one.zero_count for one in found),
            **_buckets("positive", [one.positive for one in found]),
            **_buckets("negative", [one.negative for one in found]),
            "custom_bounds": pa.array([one.custom_bounds for one in found], pa.list_(pa.float64())),
            "hint": pa.array([one.hint.value for one in found], pa.string()),
            "start": np.zeros(len(places), dtype=np.int64)
            if block.start_times is None
            else block.start_times[places],
        }
    )


def _buckets(side: str, buckets: Sequence[Mapping[int, float]]) -> dict[str, pa.Array]:
    keys = [sorted(of_one) for of_one in buckets]
    counts = [[of_one[key] for key in wanted] for of_one, wanted in zip(buckets, keys, strict=True)]
    return {
        f"{side}_keys": pa.array(keys, pa.list_(pa.int32())),
        f"{side}_counts": pa.array(counts, pa.list_(pa.float64())),
    }


# How the samples of an aspect are written, in the order of `BlockRows`.
_COLUMNS = {"samples": _samples, "started": _started, "histograms": _histograms}


def _digest(name: str, labels: Sequence[tuple[str, str]] = ()) -> int:
    parts = (name, *(part for pair in labels for part in pair))
    text = b"".join(len(raw).to_bytes(4, "little") + raw for raw in (part.encode() for part in parts))
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
