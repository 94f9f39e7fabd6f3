"""Rows, and the table they are printed as."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.products import OPSTRACE, PRODUCTS


class Better(Enum):
    """Which way is up."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Row:
    """One measured thing: a number for each product that has one, and the target for ours."""

    name: str
    unit: str
    better: Better
    values: Mapping[str, float]
    target: float | None = None

    @property
    def meets(self) -> bool | None:
        """Whether our number reaches the target; None without one."""
        if self.target is None:
            return None
        ours = self.values[OPSTRACE]
        return ours >= self.target if self.better is Better.HIGHER else ours <= self.target

    def lead(self, peer: str) -> float | None:
        """Return how many times better we are than the peer: above 1 is ours."""
        ours, theirs = self.values[OPSTRACE], self.values.get(peer)
        if not theirs or not ours:
            return None
        return ours / theirs if self.better is Better.HIGHER else theirs / ours


HEADINGS = ("what", "unit", OPSTRACE, "target", *(h for peer in list(PRODUCTS)[1:] for h in (peer, "we are")))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table that also reads well in a terminal."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def as_json(rows: Sequence[Row], versions: Mapping[str, str]) -> str:
    """Return the rows for a machine."""
    found = [
        {
            "name": row.name,
            "unit": row.unit,
            "better": row.better.value,
            "values": dict(row.values),
            "target": row.target,
            "meets_target": row.meets,
        }
        for row in rows
    ]
    return json.dumps({"versions": dict(versions), "rows": found}, indent=2)


def _cells(row: Row) -> tuple[str, ...]:
    verdicts = {None: "", True: " ✓", False: " ✗"}
    target = "" if row.target is None else f"{_bound(row)} {_number(row.target)}{verdicts[row.meets]}"
    peers = (cell for peer in list(PRODUCTS)[1:] for cell in _peer_cells(row, peer))
    return (row.name, row.unit, _number(row.values[OPSTRACE]), target, *peers)


def _bound(row: Row) -> str:
    return "≥" if row.better is Better.HIGHER else "≤"


def _peer_cells(row: Row, peer: str) -> tuple[str, str]:
    lead = row.lead(peer)
    return (_number(row.values[peer]) if peer in row.values else "–", "–" if lead is None else f"{lead:.2f} ×")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
