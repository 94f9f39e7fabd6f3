"""Libraries that others load if they are there, and that a server never uses: it does without them.

pyarrow and chdb look for pandas at the first list that becomes an array, and loading it occupies 40 MB for good;
neither needs it for what we ask of them.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LIBRARIES = frozenset(("pandas",))


class _Hidden(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname in LIBRARIES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def hide() -> None:
    """Make imports of these libraries fail in this process, as if they were not installed."""
    sys.meta_path.insert(0, _Hidden())
