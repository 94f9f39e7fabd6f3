import errno
import os
from pathlib import Path

import pytest

from opstrace import atomic_file


@pytest.fixture(autouse=True)
def _wide_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_has_its_content_and_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "a", "text")
    atomic_file.write(tmp_path / "b", b"\x00", mode=0o644)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"a": 0o600, "b": 0o644}
    assert (tmp_path / "a").read_bytes() == b"text"


def test_the_umask_does_not_take_a_mode_away(tmp_path: Path) -> None:
    os.umask(0o077)
    atomic_file.write(tmp_path / "a", "text", mode=0o644)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    atomic_file.write(tmp_path / "a", "text")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "a").is_symlink()


def test_what_cannot_be_written_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inside").write_text("old")
    with pytest.raises(OSError, match="directory"):
        atomic_file.write(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "inside").read_text() == "old"


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        atomic_file.write(tmp_path / "a", "new")
    assert raised.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_behind_goes_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    for name in (".config.yaml.0123abcd", ".config.yaml.89abcdef", ".profile", "config.yaml", ".x.0123abcg"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".config.yaml.0123abcd", (0, 0))
    os.utime(tmp_path / ".profile", (0, 0))
    atomic_file.remove_left_behind(tmp_path)
    left = {".config.yaml.89abcdef", ".profile", "config.yaml", ".x.0123abcg"}
    assert {path.name for path in tmp_path.iterdir()} == left
    atomic_file.remove_left_behind(tmp_path / "nowhere")
