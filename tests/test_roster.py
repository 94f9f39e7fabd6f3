"""What is refused of tenants and limits, without a server; test_tenancy.py has the rest."""

from pathlib import Path

import msgspec
import pytest

from opstrace import instance as instances
from opstrace import roster, token_files
from opstrace.config import DEFAULT
from opstrace.errors import InstanceError


def test_a_tenant_that_left_the_config_is_added_before_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    both = msgspec.structs.replace(DEFAULT, tenants=("default", "team"))
    token_files.ensure(instances.make("demo", both), tmp_path, rewrite=True)
    left = instances.make("demo", DEFAULT)
    with pytest.raises(InstanceError, match="add it first by `opstrace tenants add demo team`"):
        roster.check_removable(left, "team")
    with pytest.raises(InstanceError, match="demo has no tenant other; it has default, system"):
        roster.check_removable(left, "other")
    roster.check_removable(instances.make("demo", both), "team")
