"""Where instances lie, below a directory of its own per test."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from on_disk import config, files
from opstrace import homes, server_process
from opstrace import instance as instances
from opstrace.cli import main
from opstrace.config import DEFAULT
from opstrace.errors import ConfigError, InstanceError, OpstraceError

pytestmark = pytest.mark.usefixtures("home")


def test_names_are_listed_and_strangers_are_not(home: Path) -> None:
    assert homes.names() == []
    instances.make("b", DEFAULT)
    instances.make("a", DEFAULT)
    (home / "not-an-instance").mkdir()
    (home / "file").write_text("")
    assert homes.names() == ["a", "b"]


@contextmanager
def bound_by_modes(directory: Path) -> Iterator[None]:
    """Be a user whom the modes of files bind, and who owns a directory: anybody but root."""
    if os.geteuid() != 0:
        yield
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 12345, -1)
    os.seteuid(12345)
    try:
        yield
    finally:
        os.seteuid(0)


def ran(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("is_link", [False, True])
def test_an_instance_that_may_not_be_looked_into_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    # Not where pytest's are, which are for this user only.
    with tempfile.TemporaryDirectory() as made:
        monkeypatch.setenv("XDG_DATA_HOME", made)
        assert server_process.pid_of(instances.make("mine", DEFAULT)) is None
        theirs = instances.make("theirs", config(data_dir=f"{made}/disk") if is_link else DEFAULT)
        (homes.directory() / "lost+found").mkdir()
        for path in (theirs.home, homes.directory() / "lost+found"):
            path.chmod(0)
        with bound_by_modes(Path(made)):
            place = f"{made}/opstrace/theirs: Permission denied"
            refusal = f"cannot look into the instance theirs: {place}; run the command as its owner"
            _, first, second = ran("list", "local")[1].splitlines()
            assert re.match("mine +stopped", first)
            assert re.match(f"theirs +broken: {refusal} ", second)
            for command in (["stop"], ["destroy", "local"]):
                code, _, said = ran(*command, "theirs")
                assert (code, said.partition(" error: ")[2]) == (1, f"{refusal}\n")
        for path in (theirs.home, homes.directory() / "lost+found"):
            path.chmod(0o700)


@pytest.mark.parametrize("name", ["", "A", "a.b", "../a", "a/b", "-a", "a-", "a\n", "x" * 64])
def test_a_name_must_be_a_label(name: str) -> None:
    with pytest.raises(InstanceError, match="cannot be the name of an instance"):
        instances.make(name, DEFAULT)


def test_an_instance_that_is_not_there_is_told() -> None:
    with pytest.raises(InstanceError, match="there is no instance demo; `opstrace list local` shows"):
        instances.load("demo")


@pytest.mark.parametrize("file", ["config.yaml", "keys.json", "probe-secret", "removed.json"])
def test_a_damaged_instance_is_found_and_removed(home: Path, file: str) -> None:
    instances.make("demo", DEFAULT)
    (home / "demo" / file).write_bytes(b"{")
    assert homes.remove(homes.find("demo")) == []
    assert homes.names() == []


def test_an_instance_of_another_format_is_left_alone(home: Path, tmp_path: Path) -> None:
    made = instances.make("demo", config(data_dir=str(tmp_path / "disk")))
    (made.home / "instance.json").write_text('{"name": "demo", "format": 2, "finished": true}')
    before = files(made.home)
    sentence = (
        r"instance\.json is of format 2, and this version of opstrace reads format 1; use the version that wrote"
    )
    with pytest.raises(InstanceError, match=sentence):
        instances.load("demo")
    (home / "demo").unlink()
    with pytest.raises(InstanceError, match=sentence):
        instances.make("demo", made.config)
    assert files(made.home) == before


def test_a_place_that_cannot_be_written_is_named(home: Path) -> None:
    home.write_text("a file where a directory should be")
    with pytest.raises(
        InstanceError, match=r"cannot make the instance demo: .*opstrace.*; choose a writable place by"
    ):
        instances.make("demo", DEFAULT)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write: No space left on device; do"),
        (OSError(errno.ENOENT, "No such file or directory", "/a"), "cannot write: /a: No such file or directory; do"),
        (OSError("odd"), "cannot write: odd; do"),
    ],
)
def test_an_explanation_has_what_the_system_says(error: OSError, said: str) -> None:
    with pytest.raises(InstanceError) as raised, homes.explained("cannot write", hint="; do"):
        raise error
    assert str(raised.value) == said


def test_a_relative_data_home_is_ignored_as_the_specification_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert homes.directory() == tmp_path / ".local" / "share" / "opstrace"


def test_data_dir_holds_all_and_is_found_by_name(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "disk" / "demo"
    made = instances.make("demo", config(data_dir=str(place)))
    assert made.home == place
    assert made.data_directory == place / "data"
    assert (home / "demo").readlink() == place
    assert instances.load("demo") == made
    assert homes.names() == ["demo"]


def test_data_dir_is_found_again_on_another_home(home: Path, tmp_path: Path) -> None:
    made = instances.make("demo", config(data_dir=str(tmp_path / "disk")))
    (home / "demo").unlink()
    assert instances.make("demo", made.config) == made


@pytest.mark.parametrize(
    ("before", "after"), [(None, "new"), ("old", "new"), ("old", None)], ids=["set", "changed", "removed"]
)
def test_data_dir_cannot_change(tmp_path: Path, before: str | None, after: str | None) -> None:
    instances.make("demo", config(data_dir=before and str(tmp_path / before)))
    with pytest.raises(ConfigError, match=r"data_dir: the instance demo lies in .* and stays there"):
        instances.make("demo", config(data_dir=after and str(tmp_path / after)))
    assert not (tmp_path / "new").exists()


def test_data_dir_is_never_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("Dear")
    with pytest.raises(ConfigError, match=r"data_dir: .*full is not empty and holds no instance"):
        instances.make("demo", config(data_dir=str(tmp_path / "full")))
    instances.make("demo", config(data_dir=str(tmp_path / "mine")))
    with pytest.raises(ConfigError, match=r"data_dir: .*mine belongs to the instance demo"):
        instances.make("other", config(data_dir=str(tmp_path / "mine")))


def test_the_root_of_a_file_system_is_empty_enough(tmp_path: Path) -> None:
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)
    assert instances.make("demo", config(data_dir=str(tmp_path / "disk"))).home == tmp_path / "disk"


def test_a_data_dir_that_is_gone_is_told(tmp_path: Path) -> None:
    instances.make("demo", config(data_dir=str(tmp_path / "disk")))
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    assert homes.names() == ["demo"]
    with pytest.raises(InstanceError, match=r"the data_dir of instance demo, .*disk, is not there; is it mounted"):
        instances.load("demo")


@pytest.mark.parametrize("left", [None, "empty"], ids=["a directory of the volume", "the mount point"])
def test_nothing_is_made_where_a_data_dir_is_not_mounted(tmp_path: Path, left: str | None) -> None:
    disk = tmp_path / "disk"
    made = instances.make("demo", config(data_dir=str(disk)))
    disk.rename(tmp_path / "unmounted")
    if left:
        disk.mkdir()
    assert homes.exists("demo")
    assert homes.names() == ["demo"]
    for attempt in (lambda: instances.load("demo"), lambda: instances.make("demo", made.config)):
        with pytest.raises(
            InstanceError, match=r"of instance demo, .*disk, is not there; is it mounted\? If it is lost"
        ):
            attempt()
    assert not disk.exists() or not list(disk.iterdir())
    if left:
        disk.rmdir()
    (tmp_path / "unmounted").rename(disk)
    assert instances.make("demo", made.config) == made


def test_a_creation_that_ended_behind_its_link_is_completed(home: Path, tmp_path: Path) -> None:
    made = instances.make("demo", config(data_dir=str(tmp_path / "disk")))
    for entry in made.home.iterdir():
        if entry.name != "making.lock":
            entry.rmdir() if entry.is_dir() else entry.unlink()
    assert not homes.exists("demo")
    assert instances.make("demo", made.config) == instances.load("demo")


def test_an_instance_whose_data_dir_is_lost_is_forgotten_and_found_again(tmp_path: Path) -> None:
    made = instances.make("demo", config(data_dir=str(tmp_path / "disk")))
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    assert homes.is_lost("demo")
    assert homes.forget_lost("demo") == tmp_path / "disk"
    assert homes.names() == []
    (tmp_path / "unmounted").rename(tmp_path / "disk")
    assert instances.make("demo", made.config) == made


def test_what_is_removed_is_gone(home: Path) -> None:
    made = instances.make("demo", DEFAULT)
    for path in ("data/a/b", "kept/default/1", "flares/default/1.zip", "server.log.1"):
        (made.home / path).parent.mkdir(parents=True, exist_ok=True)
        (made.home / path).write_text("content")
    assert homes.remove(made) == []
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_data_dir_goes_if_we_made_it(tmp_path: Path, there: bool) -> None:
    place = tmp_path / "above" / "disk"
    if there:
        place.mkdir(parents=True)
    instances.finish(instances.make("demo", config(data_dir=str(place))))
    assert homes.remove(homes.find("demo")) == []
    assert place.exists() == there


def test_removal_leaves_what_is_not_ours(home: Path, tmp_path: Path) -> None:
    made = instances.make("demo", config(data_dir=str(tmp_path / "disk")))
    (tmp_path / "disk" / "letter.txt").write_text("Dear")
    assert homes.remove(made) == [tmp_path / "disk" / "letter.txt"]
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["letter.txt"]
    assert homes.names() == []


def test_removal_does_not_follow_links_out(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a").write_text("a")
    made = instances.make("demo", DEFAULT)
    made.data_directory.rmdir()
    made.data_directory.symlink_to(tmp_path / "precious")
    homes.remove(made)
    assert (tmp_path / "precious" / "a").exists()


@pytest.mark.parametrize("name", ["demo"])
def test_after_removal_the_name_is_free(name: str) -> None:
    first = instances.make(name, DEFAULT)
    homes.remove(first)
    with pytest.raises(OpstraceError):
        instances.load(name)
    assert instances.make(name, DEFAULT).probe_secret != first.probe_secret
