"""What is refused of tenants and limits, without a server; test_tenancy.py has the rest."""

from pathlib import Path

import msgspec
import pytest

from opstrace import instance as instances
from opstrace import roster, token_files
from opstrace.config import DEFAULT, Limits, TenantLimits
from opstrace.errors import InstanceError

BOTH = msgspec.structs.replace(DEFAULT, tenants=("default", "team"))


@pytest.fixture(autouse=True)
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an instance of two tenants with their keys."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    token_files.ensure(instances.make("demo", BOTH), tmp_path, rewrite=True)


def test_a_tenant_that_left_the_config_is_added_before_it_is_removed() -> None:
    left = instances.make("demo", DEFAULT)
    with pytest.raises(InstanceError, match="add it first by `opstrace tenants add demo team`"):
        roster.check_removable(left, "team")
    with pytest.raises(InstanceError, match="demo has no tenant other; it has default, system"):
        roster.check_removable(left, "other")
    roster.check_removable(instances.make("demo", BOTH), "team")


class Killed(BaseException):
    """The command died here."""


def test_a_removal_that_was_cut_short_leaves_no_key_for_a_later_tenant_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (tmp_path / "tenant-api-token-team").read_text()

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(instances, "forget_keys", killed)
        with pytest.raises(Killed):
            roster.remove("demo", "team")
    assert instances.load("demo").leaving == ("team",)
    roster.forget("demo", "team")  # as the server does once the data is gone
    added, _ = roster.add("demo", "team", None)
    assert len(added.keys["team"].digests) == 1
    assert added.keyring.tenant_for(old) is None


def test_who_set_a_limit_is_told() -> None:
    limits = Limits(max_series=7)
    config = msgspec.structs.replace(BOTH, limits=limits, tenant_limits={"team": TenantLimits(max_kept_days=2)})
    told = {one.name: one for one in roster.settings(config, "team")}
    assert [told[name].origin for name in ("max_series", "max_kept_days", "max_kept_bytes")] == [
        "in the config",
        "of the tenant",
        "by default",
    ]
    assert (told["max_series"].default, told["max_series"].fallback) == (Limits().max_series, 7)
    assert (told["max_kept_days"].value, told["max_kept_days"].fallback) == (2, Limits().max_kept_days)
    of_all = {one.name: one for one in roster.settings(config)}
    assert (of_all["max_series"].origin, of_all["max_series"].fallback) == ("in the config", Limits().max_series)
    assert of_all["log_retention_days"].origin == "by default"
