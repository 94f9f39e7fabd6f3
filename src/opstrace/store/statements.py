"""Texts of statements that no parameter of the engine can be: names, conditions, what a function is defined by."""

import re
from importlib.resources import files
from typing import Final

_PLACE: Final = re.compile(r"\{([a-z_]+)\}")


def filled(sql: str, **texts: object) -> str:
    """Put texts in the places `{name}` of a statement, in which parameters, `{name:Type}`, stay.

    Texts that have no place are not needed; raises KeyError for a place without one.
    """
    return _PLACE.sub(lambda place: str(texts[place[1]]), sql)


def schema_path(package: str, file: str) -> str:
    """Return the path of a schema of protobuf in a package, as a statement has it between its quotes."""
    return str(files(package) / file).replace("\\", "\\\\").replace("'", "\\'")
