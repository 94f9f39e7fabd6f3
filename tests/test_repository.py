"""What is in the repository: what we wrote, and pictures of it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_nothing_but_pictures_is_binary() -> None:
    """No built or packed file, as a package that was fetched to look at it would be."""
    listing = ["git", "ls-files", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    names = listed.rstrip("\0").split("\0")
    assert "README.md" in names
    there = [name for name in names if (ROOT / name).is_file()]
    binary = [name for name in there if b"\0" in (ROOT / name).read_bytes()]
    assert binary
    assert [name for name in binary if not (name.startswith("docs/images/") and name.endswith(".png"))] == []
