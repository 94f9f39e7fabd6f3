"""An instance on disk, in a directory of its own per test."""

from pathlib import Path

import msgspec
import pytest

from on_disk import config, files
from opstrace import instance as instances
from opstrace.config import DEFAULT
from opstrace.errors import ConfigError, InstanceError
from opstrace.tenants import Tenant, new_key

pytestmark = pytest.mark.usefixtures("home")


def test_what_was_made_is_read_back() -> None:
    made = instances.make("demo", config(metric_retention_days=7))
    assert instances.load("demo") == made
    assert made.config.metric_retention_days == 7
    assert not made.finished


def test_everything_is_for_the_owner_only(home: Path) -> None:
    instances.make("demo", DEFAULT)
    modes = {path.is_dir(): set[int]() for path in [home, home / "demo" / "keys.json"]}
    for path in [home, *home.rglob("*")]:
        modes[path.is_dir()].add(path.stat().st_mode & 0o777)
    assert modes == {True: {0o700}, False: {0o600}}


def test_making_again_keeps_keys_and_secrets_and_takes_the_new_config(home: Path) -> None:
    key = new_key()
    first = instances.add_key(instances.make("demo", DEFAULT), "default", key, home / "token")
    instances.finish(first)
    again = instances.make("demo", config(https_port=9000))
    assert (again.keys, again.probe_secret, again.finished) == (first.keys, first.probe_secret, True)
    assert again.config.https_port == 9000
    assert again.keyring.tenant_for(key) == Tenant("default")


@pytest.mark.parametrize("missing", ["instance.json", "keys.json", "config.yaml", "probe-secret", "data", "tls"])
def test_making_again_completes_what_is_missing(home: Path, missing: str) -> None:
    instances.make("demo", DEFAULT)
    path = home / "demo" / missing
    path.rmdir() if path.is_dir() else path.unlink()
    before = files(home / "demo")
    made = instances.make("demo", DEFAULT)
    assert path.exists()
    assert before.items() <= files(home / "demo").items()
    assert made == instances.load("demo")


def test_a_key_is_kept_as_its_digest_only(home: Path) -> None:
    key = new_key()
    instances.add_key(instances.make("demo", DEFAULT), "default", key, home / "token")
    assert not [name for name, content in files(home).items() if key.encode() in content]


def test_a_further_key_leaves_the_first_valid_and_none_twice(home: Path) -> None:
    first, second = new_key(), new_key()
    made = instances.make("demo", DEFAULT)
    for key in (first, second, first):
        made = instances.add_key(made, "default", key, home / "token")
    assert instances.load("demo") == made
    assert len(made.keys["default"].digests) == 2
    assert [made.keyring.tenant_for(key) for key in (first, second)] == [Tenant("default")] * 2


def test_the_key_of_a_tenant_that_left_the_config_opens_nothing(home: Path) -> None:
    key = new_key()
    instances.add_key(instances.make("demo", DEFAULT), "default", key, home / "token")
    assert instances.make("demo", config(tenants=("other",))).keyring.tenant_for(key) is None
    assert instances.make("demo", DEFAULT).keyring.tenant_for(key) == Tenant("default")


def test_probe_keys_differ_by_instance_and_tenant() -> None:
    one, two = instances.make("one", DEFAULT), instances.make("two", DEFAULT)
    keys = {one.probe_key("default"), one.probe_key("system"), two.probe_key("default"), two.probe_key("system")}
    assert len(keys) == 4
    assert one.keyring.tenant_for(one.probe_key("default"), probe=True) == Tenant("default")


def test_addresses() -> None:
    made = instances.make("demo", config(domain="example.com", https_port=443))
    assert (made.host, made.url) == ("demo.example.com", "https://demo.example.com")
    assert instances.make("demo", config(https_port=9443)).url == "https://demo.localhost:9443"


@pytest.mark.parametrize("file", ["instance.json", "keys.json", "config.yaml"])
def test_a_damaged_file_is_named(home: Path, file: str) -> None:
    instances.make("demo", DEFAULT)
    (home / "demo" / file).write_bytes(b"\xff{")
    with pytest.raises(InstanceError, match=file.replace(".", r"\.")):
        instances.load("demo")


def test_another_config_stands_in_for_one_that_cannot_be_used(home: Path) -> None:
    made = instances.with_removed(instances.make("demo", config(tenants=("a", "b"))), ("b",))
    with (home / "demo" / "config.yaml").open("a") as file:
        file.write("typo: 1\n")
    with pytest.raises(InstanceError, match=r"typo is not .*; mend that file, or .*`opstrace start demo -c"):
        instances.load("demo")
    found = instances.load("demo", made.config)
    assert (found.config, found.stored_is_usable) == (made.config, False)
    assert found.leaving == ("b",)  # nobody knows whether the config had it still
    other = instances.make("demo", config(tenants=("c",)))
    assert instances.load("demo", made.config) == other


@pytest.mark.parametrize("content", [b"", b"x" * 31])
def test_a_damaged_probe_secret_is_named(home: Path, content: bytes) -> None:
    instances.make("demo", DEFAULT)
    (home / "demo" / "probe-secret").write_bytes(content)
    with pytest.raises(
        InstanceError, match=rf"probe-secret is damaged \({len(content)} bytes instead of 32\); restore"
    ):
        instances.load("demo")


def test_dogstatsd_is_not_switched_on_where_it_would_hear_nothing() -> None:
    deaf = msgspec.structs.replace(DEFAULT.dogstatsd, listeners=())
    made = instances.make("demo", config(dogstatsd=deaf))
    with pytest.raises(ConfigError, match=r"dogstatsd\.listeners: \[\] hears nothing"):
        instances.with_dogstatsd(made)
    assert instances.with_dogstatsd(instances.make("demo", DEFAULT)).config.dogstatsd.enabled
