import re
from pathlib import Path

from opstrace.promql import aggregate, evaluation, parser
from opstrace.promql.rollup import ROLLUPS
from opstrace.promql.signatures import AGGREGATIONS, SIGNATURES

DOCS = (Path(__file__).parents[2] / "docs" / "promql.md").read_text(encoding="utf-8")


def documented(section: str) -> list[str]:
    text = DOCS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)\(", cell)]


def test_every_function_has_its_line_and_its_code() -> None:
    names = documented("Functions")
    assert sorted(names) == sorted(SIGNATURES)
    assert set(ROLLUPS) | set(evaluation.FUNCTIONS) | set(evaluation.SPECIAL) == set(SIGNATURES)


def test_every_aggregation_has_its_line_and_its_code() -> None:
    assert sorted(documented("Aggregations")) == sorted(AGGREGATIONS)
    assert {*aggregate.FOLDS, *aggregate.CHOICES, *aggregate.SPECIAL} == set(AGGREGATIONS)


def test_every_operator_is_named() -> None:
    operators = DOCS.split("\n## Operators\n")[1].split("\n## ")[0]
    assert all(f"`{op}`" in operators for op in parser.PRECEDENCE)


def test_every_function_says_its_signature_where_it_is_defined() -> None:
    for name, function in {**ROLLUPS, **evaluation.FUNCTIONS}.items():
        banner = (function.__doc__ or "").split("\n")[0]
        assert banner.startswith(f"{name}(") or "table" in banner, name
