"""Data that is taken away from a server, or from a start."""

import json
import shutil
import time
from pathlib import Path

from end_to_end.instance import Instance, running

JSON = {"Content-Type": "application/json"}


def home_of(directory: Path) -> Path:
    (data,) = directory.rglob("opstrace-format-version")
    return data.parent.parent


def sent(instance: Instance, path: str = "/api/v1/series") -> int:
    body = json.dumps({"series": [{"metric": "m", "points": [[int(time.time()), 1]]}]}).encode()
    return instance.send("POST", path, body, {"DD-API-KEY": instance.key(), **JSON}).status


def test_nothing_is_acknowledged_whose_place_is_gone(tmp_path: Path) -> None:
    """Nor is anything made in that place until it is back."""
    with running(tmp_path, "removed", {"tenants": ["default"]}) as instance:
        assert sent(instance) == 202
        home = home_of(tmp_path)
        shutil.copytree(home / "data", tmp_path / "copy", symlinks=True)
        shutil.rmtree(home / "data", ignore_errors=True)  # the engine may make some of it anew meanwhile
        assert {sent(instance) for _ in range(3)} == {503}
        assert sent(instance, "/api/v2/not-known-yet") == 503
        assert [path for path in home.rglob("*.kept") if path.stat().st_size > 0] == []
        instance.run("stop", instance.name)
        shutil.rmtree(home / "data", ignore_errors=True)
        (home / "data").mkdir(mode=0o700)
        refused = instance.run("start", instance.name, check=False)
        assert refused.returncode == 1
        assert "opstrace-format-version is missing; mount it, or put it back from a backup" in refused.stderr
        shutil.rmtree(home / "data")
        shutil.copytree(tmp_path / "copy", home / "data", symlinks=True)
        instance.run("start", instance.name)
        assert instance.vector("m", time.time()).keys()
        assert sent(instance) == 202
