"""What the commands take to be meant where nothing is said."""

from pathlib import Path

import msgspec
import pytest

from opstrace import instance as instances
from opstrace import server_process
from opstrace.cli.options import only_instance
from opstrace.config import DEFAULT
from opstrace.errors import InstanceError

pytestmark = pytest.mark.usefixtures("home")


def test_the_instance_meant_is_the_only_one_or_the_only_one_that_runs() -> None:
    with pytest.raises(InstanceError, match="there is no instance"):
        only_instance()
    demo = instances.make("demo", DEFAULT)
    assert only_instance() == "demo"
    instances.make("other", DEFAULT)
    with pytest.raises(InstanceError, match="say which instance: there are demo, other"):
        only_instance()
    with server_process.held(demo):
        assert only_instance() == "demo"


def test_an_instance_that_cannot_be_read_is_not_meant(tmp_path: Path) -> None:
    instances.make("lost", msgspec.structs.replace(DEFAULT, data_dir=str(tmp_path / "disk")))
    demo = instances.make("demo", DEFAULT)
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    with pytest.raises(InstanceError, match="say which instance: there are demo, lost"):
        only_instance()
    with server_process.held(demo):
        assert only_instance() == "demo"
