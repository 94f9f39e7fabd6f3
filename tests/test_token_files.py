import errno
import logging
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from opstrace import atomic_file, roster, token_files
from opstrace import instance as instances
from opstrace.config import DEFAULT
from opstrace.errors import InstanceError
from opstrace.instance import Instance
from opstrace.tenants import Tenant, is_key, new_key

TWO = msgspec.structs.replace(DEFAULT, tenants=("beta", "alpha"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory the tokens go to."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def made() -> Instance:
    return instances.make("demo", TWO)


def opened(instance: Instance, path: Path) -> Tenant | None:
    """Return the tenant that the bare content of a token file opens."""
    return instance.keyring.tenant_for(path.read_text())


def test_every_tenant_gets_a_bare_token_told_in_the_configs_order(
    made: Instance, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ensured = token_files.ensure(made, here, rewrite=True)
    assert [record.getMessage() for record in caplog.records] == [
        "write api token for tenant beta to file tenant-api-token-beta",
        "write api token for tenant alpha to file tenant-api-token-alpha",
        "write api token for tenant system to file tenant-api-token-system",
    ]
    for tenant in ("beta", "alpha", "system"):
        path = here / f"tenant-api-token-{tenant}"
        assert is_key(path.read_text())
        assert path.stat().st_mode & 0o777 == 0o600
        assert opened(instances.load("demo"), path) == Tenant(tenant)
        assert token_files.key_of(ensured, tenant) == path.read_text()


def test_a_tenant_that_was_added_since_the_instance_was_read_keeps_its_key(made: Instance, here: Path) -> None:
    read_before = token_files.ensure(made, here, rewrite=False)
    roster.add("demo", "gamma", here)
    token_files.ensure(read_before, here, rewrite=True)
    assert opened(instances.load("demo"), here / "tenant-api-token-gamma") == Tenant("gamma")


def test_tokens_never_reach_the_log(made: Instance, here: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token_files.ensure(token_files.ensure(made, here, rewrite=True), here, rewrite=True)
    assert caplog.records
    assert not [path for path in here.iterdir() if path.read_text() in caplog.text]


def test_again_in_the_same_directory_changes_nothing(made: Instance, here: Path) -> None:
    first = token_files.ensure(made, here, rewrite=True)
    content = {path: path.read_bytes() for path in here.iterdir()}
    assert token_files.ensure(first, here, rewrite=True) == first
    assert {path: path.read_bytes() for path in here.iterdir()} == content


def test_a_token_file_that_is_gone_is_written_with_a_further_key(
    made: Instance, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = token_files.ensure(made, here, rewrite=True)
    path = here / "tenant-api-token-alpha"
    lost = path.read_text()
    path.unlink()
    caplog.set_level(logging.INFO)
    again = token_files.ensure(first, here, rewrite=True)
    assert path.read_text() != lost
    assert opened(again, path) == again.keyring.tenant_for(lost) == Tenant("alpha")
    assert "tenant-api-token-alpha (a new token: the file is not here; the one before stays valid)" in caplog.text


def test_a_start_elsewhere_writes_tokens_of_new_tenants_only(made: Instance, here: Path, tmp_path: Path) -> None:
    token_files.ensure(made, here, rewrite=True)
    grown = instances.make("demo", msgspec.structs.replace(TWO, tenants=("beta", "alpha", "gamma")))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    token_files.ensure(grown, elsewhere, rewrite=False)
    assert [path.name for path in elsewhere.iterdir()] == ["tenant-api-token-gamma"]


def test_a_token_one_brings_is_accepted_and_left_as_it_is(
    made: Instance, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, brought = here / "tenant-api-token-beta", new_key() + "\n"
    path.write_text(brought)
    path.chmod(0o440)
    ensured = token_files.ensure(made, here, rewrite=True)
    assert path.read_text() == brought
    assert opened(ensured, path) == Tenant("beta")
    assert "use api token for tenant beta from file tenant-api-token-beta" in caplog.text


def test_a_key_is_one_tenants_alone(made: Instance, here: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    key = new_key()
    for tenant in ("beta", "alpha"):
        (here / f"tenant-api-token-{tenant}").write_text(key)
        (here / f"tenant-api-token-{tenant}").chmod(0o600)
    with pytest.raises(
        InstanceError, match=r"key of tenant alpha in .*-alpha opens tenant beta already, .*another one there"
    ):
        token_files.ensure(made, here, rewrite=True)
    assert instances.load("demo").keyring.tenant_for(key) == Tenant("beta")
    assert "tenant alpha" not in caplog.text


def test_the_key_of_a_tenant_that_left_the_config_may_become_anothers(made: Instance, here: Path) -> None:
    key = new_key()
    path = here / "token"
    instances.add_key(made, "beta", key, path)
    renamed = instances.make("demo", msgspec.structs.replace(TWO, tenants=("gamma", "alpha")))
    assert instances.add_key(renamed, "gamma", key, path).keyring.tenant_for(key) == Tenant("gamma")
    assert instances.make("demo", msgspec.structs.replace(TWO, tenants=("gamma", "beta"))).keyring.tenant_for(
        key
    ) == Tenant("gamma")


@pytest.mark.parametrize("content", ["", "secret", "0" * 31, "g" * 32, "0" * 33, "0" * 32 + " " + "1" * 32])
def test_a_file_that_holds_no_token_is_not_overwritten(made: Instance, here: Path, content: str) -> None:
    (here / "tenant-api-token-beta").write_text(content)
    with pytest.raises(InstanceError, match="tenant-api-token-beta is there and holds no token of 32 hexadecimal"):
        token_files.ensure(made, here, rewrite=True)
    assert (here / "tenant-api-token-beta").read_text() == content


def test_a_token_that_others_could_have_written_is_not_accepted(made: Instance, here: Path) -> None:
    path = here / "tenant-api-token-beta"
    path.write_text(new_key())
    path.chmod(0o666)
    with pytest.raises(InstanceError, match="tenant-api-token-beta is there and others may have written it"):
        token_files.ensure(made, here, rewrite=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away and become somebody else")
def test_a_token_of_another_user_is_not_accepted(made: Instance, here: Path) -> None:
    path = here / "tenant-api-token-beta"
    path.write_text(new_key())
    path.chmod(0o644)
    os.chown(path, 12345, -1)
    with pytest.raises(InstanceError, match="tenant-api-token-beta is there and others may have written it"):
        token_files.ensure(made, here, rewrite=True)


def test_a_directory_where_a_token_should_be_is_told(made: Instance, here: Path) -> None:
    (here / "tenant-api-token-beta").mkdir()
    with pytest.raises(InstanceError, match=r"cannot read the token file .*beta: Is a directory; remove or move it"):
        token_files.ensure(made, here, rewrite=True)


def test_a_directory_that_cannot_be_written_is_told(made: Instance, here: Path) -> None:
    with pytest.raises(
        InstanceError, match=r"cannot write the token file .*; run the command in a directory you may"
    ):
        token_files.ensure(made, here / "absent", rewrite=True)


def test_a_key_is_known_only_while_its_file_holds_it(made: Instance, here: Path) -> None:
    ensured = token_files.ensure(made, here, rewrite=True)
    path = here / "tenant-api-token-beta"
    path.write_text(new_key())
    assert token_files.key_of(ensured, "beta") is None
    path.unlink()
    assert token_files.key_of(ensured, "beta") is None
    assert token_files.key_of(made, "beta") is None


def test_what_became_of_a_key_is_told(made: Instance, here: Path) -> None:
    known = token_files.ensure(made, here, rewrite=True)
    path = here / "tenant-api-token-alpha"
    assert token_files.lack_of(known, "alpha") is None
    path.write_text(new_key())
    assert token_files.lack_of(known, "alpha") == f"is not the one that {path} holds now"
    path.unlink()
    assert token_files.lack_of(known, "alpha") == f"cannot be read from {path}: No such file or directory"
    unwritten = instances.add_key(instances.forget_keys(known, "alpha"), "alpha", new_key(), None)
    assert token_files.lack_of(unwritten, "alpha") == "was never written to a file"


@pytest.mark.parametrize("fails", ["keys.json", "tenant-api-token-beta"])
def test_a_rotation_that_fails_leaves_a_valid_key_in_the_file(
    made: Instance, here: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    ensured = token_files.ensure(made, here, rewrite=True)
    path = here / "tenant-api-token-beta"
    before = path.read_text()
    write_new = atomic_file._write_new

    def full(temporary: Path, data: bytes, mode: int) -> None:
        if fails in temporary.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_new(temporary, data, mode)

    monkeypatch.setattr(atomic_file, "_write_new", full)
    with pytest.raises(InstanceError, match="No space left on device"):
        token_files.rotate(ensured, "beta")
    assert path.read_text() == before
    assert instances.load("demo").keys == ensured.keys
    assert {entry.name for entry in here.iterdir()} == {f"tenant-api-token-{name}" for name in TWO.all_tenants}


def test_a_rotation_whose_directory_is_gone_writes_to_the_current_one(
    made: Instance, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (gone := here / "gone").mkdir()
    token_files.ensure(made, gone, rewrite=True)
    shutil.rmtree(gone)
    monkeypatch.chdir(here)
    path = token_files.rotate(instances.load("demo"), "beta")
    assert path == here / "tenant-api-token-beta"
    assert opened(instances.load("demo"), path) == Tenant("beta")
    assert caplog.messages == [
        f"the directory of the token file {gone}/tenant-api-token-beta is gone; the new key goes to {path}"
    ]
    token_files.rotate(instances.load("demo"), "beta")
    assert len(caplog.messages) == 1


def test_a_rotation_tells_whose_key_it_has_written_over(
    made: Instance, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    token_files.ensure(made, here, rewrite=True)
    token_files.ensure(instances.make("other", DEFAULT), here, rewrite=True)
    path = here / "tenant-api-token-system"
    before = path.read_text()
    token_files.rotate(instances.load("demo"), "system")
    whose = "tenant system of instance other"
    assert caplog.messages == [
        f"{path} held the key of {whose} as well: that one stays valid, and is in this file no more"
    ]
    assert instances.load("other").keyring.tenant_for(before) == Tenant("system")
    (here / "tenant-api-token-beta").write_text((here / "tenant-api-token-alpha").read_text())
    token_files.rotate(instances.load("demo"), "beta")
    assert "tenant-api-token-beta held the key of tenant alpha as well" in caplog.messages[-1]
