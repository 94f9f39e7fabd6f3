"""What holds for all statements of the engine."""

import re
from pathlib import Path

import pytest

import opstrace

SOURCES = Path(opstrace.__file__).parent
STATEMENTS = {str(path.relative_to(SOURCES)): path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.sql")}
# Sets have one column, which has no name that matters.
_SETS = {"seen"}


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_what_is_written_goes_to_columns_by_name(name: str) -> None:
    written = re.findall(r"^INSERT INTO (\w+)( \()?", STATEMENTS[name], re.MULTILINE)
    assert {table for table, columns in written if not columns} <= _SETS


def test_statements_that_write_are_found() -> None:
    assert sum("INSERT INTO" in text for text in STATEMENTS.values()) > 20
