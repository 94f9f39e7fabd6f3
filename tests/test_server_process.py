"""Who serves an instance, with processes that hold its lock as a server does."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opstrace import instance as instances
from opstrace import server_process
from opstrace.config import DEFAULT
from opstrace.errors import InstanceError
from opstrace.instance import Instance

HOLD = """
import signal, sys, time
from opstrace import instance, server_process
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with server_process.held(instance.load("demo")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return instances.make("demo", DEFAULT)


@contextmanager
def holder(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock of the instance."""
    command = [sys.executable, "-c", HOLD, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_nobody_serves_at_first(instance: Instance) -> None:
    assert server_process.pid_of(instance) is None
    assert server_process.stop(instance, 60.0) is False


def test_whoever_holds_the_lock_serves_and_nobody_else_can(instance: Instance) -> None:
    with holder() as process:
        assert server_process.pid_of(instance) == process.pid
        refusal = pytest.raises(InstanceError, match=rf"the server of demo is already running \(pid {process.pid}\)")
        with refusal, server_process.held(instance):
            pytest.fail("two servers")
        assert server_process.stop(instance, 60.0) is True
        assert server_process.pid_of(instance) is None


def test_a_killed_server_does_not_serve_although_its_pid_is_written(instance: Instance) -> None:
    with holder() as process:
        process.kill()
        process.wait()
    assert (instance.home / "server.pid").read_text() == str(process.pid)
    assert server_process.pid_of(instance) is None


def test_a_server_takes_over_from_a_killed_one_and_leaves_nothing(instance: Instance) -> None:
    (instance.home / "server.pid").write_text("1")
    with server_process.held(instance):
        assert (instance.home / "server.pid").read_text() == str(os.getpid())
    assert not (instance.home / "server.pid").exists()


def test_a_server_in_the_background_has_the_lock_from_its_birth(instance: Instance) -> None:
    """Else a command that comes while it loads finds the place free."""
    with server_process.spawned(instance) as process:
        process.send_signal(signal.SIGSTOP)
        try:
            assert server_process.pid_of(instance) == process.pid
            with pytest.raises(InstanceError, match="already running"), server_process.spawned(instance):
                pytest.fail("two servers")
        finally:
            process.kill()
            process.wait()
    assert server_process.pid_of(instance) is None


def test_an_interruption_ends_the_server_that_it_finds_loading(instance: Instance) -> None:
    with pytest.raises(KeyboardInterrupt), server_process.spawned(instance) as process:
        raise KeyboardInterrupt
    assert process.returncode is not None
    assert server_process.pid_of(instance) is None


def test_looking_does_not_keep_a_server_from_starting(instance: Instance) -> None:
    with server_process._lock_file(instance) as descriptor:
        assert server_process._take(descriptor, server_process.fcntl.LOCK_SH)
        look_away = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    with look_away:
        assert look_away.stdout
        assert look_away.stdout.readline() == "held\n"
        look_away.kill()


def test_a_server_that_has_not_told_its_pid_is_waited_for(instance: Instance) -> None:
    with holder():
        (instance.home / "server.pid").unlink()
        assert server_process.pid_of(instance) == 0
        with pytest.raises(
            InstanceError, match="the server of demo runs, but its pid file is gone; end it by its pid"
        ):
            server_process.stop(instance, 60.0)


def test_a_stale_pid_is_not_taken_for_that_of_a_server_that_has_not_told_its_own(instance: Instance) -> None:
    with holder(), subprocess.Popen(["sleep", "60"]) as bystander:
        (instance.home / "server.pid").write_text(str(bystander.pid))
        assert server_process.pid_of(instance) == 0
        with pytest.raises(InstanceError, match="its pid file is gone"):
            server_process.stop(instance, 60.0)
        assert bystander.poll() is None
        bystander.kill()


def test_a_server_that_drains_for_long_is_told_and_left_alone(instance: Instance) -> None:
    with holder("stubborn") as process:
        with pytest.raises(
            InstanceError, match=rf"process {process.pid} of instance demo is still draining after 0 s"
        ):
            server_process.stop(instance, timeout_s=0.2)
        assert server_process.pid_of(instance) == process.pid
        assert process.poll() is None


def test_a_stopped_process_is_not_mistaken_for_a_gone_one(instance: Instance) -> None:
    with holder() as process:
        process.send_signal(signal.SIGSTOP)
        assert server_process.pid_of(instance) == process.pid


def test_only_a_long_log_is_put_aside(instance: Instance) -> None:
    assert server_process.rotate_log(instance) == 0
    instance.log_file.write_text("short\n")
    assert server_process.rotate_log(instance) == 6
    os.truncate(instance.log_file, server_process.LOG_ROTATION_BYTES + 1)
    assert server_process.rotate_log(instance) == 0
    assert not instance.log_file.exists()
    assert instance.log_file.with_name("server.log.1").stat().st_size == server_process.LOG_ROTATION_BYTES + 1


@pytest.mark.parametrize(
    ("log", "offset", "message"),
    [
        ("", 0, None),
        ("2026-11-23T14:32:53.889Z info: fine\n", 0, None),
        ("2026-11-23T14:32:53.889Z error: a: b error: c\nTraceback\n", 0, "a: b error: c"),
        ("2026-11-23T14:32:53.889Z error: old\n2026-11-23T14:32:53.889Z error: new\n", 0, "new"),
        ("2026-11-23T14:32:53.889Z error: old\n", 36, None),
    ],
)
def test_the_last_error_is_found_behind_an_offset(
    instance: Instance, log: str, offset: int, message: str | None
) -> None:
    instance.log_file.write_text(log)
    assert server_process.last_error(instance, offset) == message
