"""The command as users and scripts run it: real processes, real servers, real TLS."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from end_to_end.instance import Instance, free_ports, running, wait_until, walked
from opstrace.cli import main

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\w+): (.*)")
WAIT_S = 60.0


def prepared(directory: Path, name: str = "demo", **config: object) -> Instance:
    """Return an instance that has not been made yet, on free ports."""
    ports = free_ports()
    return Instance(name, directory, {"tenants": ["default"], **ports, **config})


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """An instance that has not been made yet; whatever a test leaves running ends."""
    made = prepared(tmp_path)
    yield made
    for path in home(made).parent.glob("*"):
        made.run("destroy", "local", path.name, "--yes")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running instance that tests leave as it is."""
    with running(tmp_path_factory.mktemp("cli"), "served", {"tenants": ["beta", "alpha"]}) as started:
        yield started


def home(instance: Instance) -> Path:
    environment = instance.environment()
    base = Path(environment.get("XDG_DATA_HOME") or Path(environment["HOME"]) / ".local" / "share")
    return base / "opstrace" / instance.name


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits for its parent's interest does not."""
    try:
        return _state_of(pid) != "Z"
    except OSError:
        return False


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def messages(text: str) -> list[tuple[str, str]]:
    """Return level and message of each line; a line of another form is a fault."""
    matches = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(matches), text
    return [(match[2], match[3]) for match in matches if match]


def refused(instance: Instance, *arguments: str, stdin: str = "") -> str:
    """Run a command that cannot be done; return its one sentence."""
    done = instance.run(*arguments, stdin=stdin, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done
    *_, (level, message) = messages(done.stderr)
    assert level == "error"
    return message


def status(instance: Instance) -> Any:
    return json.loads(instance.run("status", "local", instance.name, "--json", check=False).stdout)


def document(instance: Instance, **changes: object) -> str:
    return yaml.safe_dump({**instance.config, **changes})


@contextmanager
def spawned(instance: Instance, *arguments: str, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command that is not waited for."""
    process = subprocess.Popen(
        [*instance.command, *arguments],
        cwd=instance.directory,
        env=instance.environment() | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it runs in the background ignore SIGINT, the tests included, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


# create


def test_create_says_what_the_readme_shows(instance: Instance) -> None:
    (instance.directory / "config.yaml").write_text(document(instance))
    done = instance.run("create", "local", "demo", "-c", "config.yaml")
    assert done.stdout == ""
    assert messages(done.stderr) == [
        ("info", "write api token for tenant default to file tenant-api-token-default"),
        ("info", "write api token for tenant system to file tenant-api-token-system"),
        ("info", "cluster creation finished: demo (local)"),
        ("info", f"Log in here: https://demo.localhost:{instance.https_port}"),
    ]
    assert status(instance)["healthy"]


def test_tokens_follow_the_configs_order_and_are_bare_and_private(served: Instance) -> None:
    for tenant in ("beta", "alpha", "system"):
        path = served.directory / f"tenant-api-token-{tenant}"
        assert re.fullmatch(r"[0-9a-f]{32}", path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        answer = served.send("GET", "/api/v1/validate", headers={"DD-API-KEY": path.read_text()})
        assert answer.json() == {"valid": True}


def test_nothing_on_disk_holds_a_key_or_is_readable_by_others(served: Instance) -> None:
    keys = [served.key(tenant).encode() for tenant in ("beta", "alpha", "system")]
    files = [path for path in walked(home(served)) if path.is_file() and not path.is_symlink()]
    assert {"keys.json", "probe-secret", "ca-key.pem", "server.log"} <= {path.name for path in files}
    for path in files:
        try:
            content, mode = path.read_bytes(), path.stat().st_mode
        except FileNotFoundError:  # the engine's own, gone meanwhile
            continue
        assert not any(key in content for key in keys), path
        assert stat.S_IMODE(mode) & 0o077 == 0 or path.name in ("ca.pem", "server.pem"), path


def test_create_twice_is_refused(served: Instance) -> None:
    before = served.key("beta")
    sentence = refused(served, "create", "local", "served", stdin=document(served))
    assert sentence.startswith("the instance served exists already; start it by `opstrace start served`")
    assert served.key("beta") == before


@pytest.mark.parametrize("key", ["https_port", "http_port"])
def test_create_on_a_taken_port_names_port_owner_and_key_and_leaves_nothing(instance: Instance, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused(instance, "create", "local", "demo", stdin=document(instance, **{key: port}))
    assert sentence.startswith(f"port {port} on 127.0.0.1 is taken by ")
    assert f"(pid {os.getpid()})" in sentence
    assert sentence.endswith(f"set {key} in the config to a free port")
    assert not home(instance).exists()
    assert not list(instance.directory.glob("tenant-api-token-*"))


def test_a_port_taken_by_another_instance_names_that(served: Instance, instance: Instance) -> None:
    sentence = refused(instance, "create", "local", "demo", stdin=document(instance, https_port=served.https_port))
    assert "is taken by the server of instance served (pid " in sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "standard input: the document must be a mapping of keys to values"),
        ("tenants: [", "standard input: not valid YAML: line 1"),
        ("{tenants: [a], htp_port: 1}", "htp_port is not a key of the config; the closest one is http_port"),
    ],
)
def test_a_bad_config_leaves_nothing(instance: Instance, text: str, sentence: str) -> None:
    assert sentence in refused(instance, "create", "local", "demo", stdin=text)
    assert not home(instance).exists()


def test_a_config_that_is_not_there_is_named(instance: Instance) -> None:
    assert refused(instance, "create", "local", "demo", "-c", "absent.yaml") == (
        "cannot read the config file absent.yaml: No such file or directory"
    )


def test_a_place_that_cannot_be_written_is_named(instance: Instance) -> None:
    (instance.directory / "file").write_text("")
    sentence = refused(instance, "create", "local", "demo", stdin=document(instance, data_dir="file/inside"))
    assert "file/inside: Not a directory; choose a writable place by data_dir or XDG_DATA_HOME" in sentence


def test_a_current_directory_that_is_gone_is_told(instance: Instance) -> None:
    (gone := instance.directory / "gone").mkdir()
    (config := instance.directory / "config.yaml").write_text(document(instance))
    script = f'rmdir "$PWD"; exec "{instance.command[0]}" create local demo -c "{config}"'
    done = subprocess.run(
        ["sh", "-c", script], cwd=gone, env=instance.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    said = ("error", "the current directory is not there any more; run the command in another one")
    assert messages(done.stderr) == [said]
    assert not home(instance).exists()


@pytest.mark.parametrize("moment", ["tenant-api-token-system", "server.pid", "server.log"])
def test_an_interrupted_creation_is_completed_by_a_second(instance: Instance, moment: str) -> None:
    (instance.directory / "config.yaml").write_text(document(instance))
    command = ("create", "local", "demo", "-c", "config.yaml")
    with spawned(instance, *command) as process:
        wait_until(lambda: any(instance.directory.rglob(moment)), WAIT_S, moment)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert messages(said)[-1] == ("error", "interrupted; the same command, run again, completes what it began")
    assert status(instance)["state"] == "stopped"
    key = instance.key()
    authority = _content(home(instance) / "tls" / "ca.pem")
    instance.run(*command)
    assert instance.key() == key
    assert authority in (None, _content(home(instance) / "tls" / "ca.pem"))
    assert status(instance)["healthy"]
    assert status(instance)["finished"]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def test_a_creation_that_failed_may_be_repeated_with_another_config(instance: Instance) -> None:
    home(instance).mkdir(parents=True)
    (home(instance) / "data").write_text("a file where the engine wants its directory")
    refused(instance, "create", "local", "demo", stdin=document(instance))
    (home(instance) / "data").unlink()
    instance.run("create", "local", "demo", stdin=document(instance, tenants=["other"]))
    assert status(instance)["tenants"] == ["other", "system"]


def test_a_server_that_dies_while_starting_is_told_with_its_words_and_its_log(instance: Instance) -> None:
    instance.create()
    instance.run("stop", "demo")
    (home(instance) / "data" / "opstrace-format-version").write_text("999\n")
    sentence = refused(instance, "start", "demo")
    assert sentence.startswith("the server of demo ended with code 1 while starting, saying: the data in ")
    assert sentence.endswith(f"its log is {home(instance) / 'server.log'}")
    (home(instance) / "data" / "opstrace-format-version").unlink()


def test_a_server_that_answers_too_late_is_told_and_stays(instance: Instance) -> None:
    """A second is not enough for a server that is held up before it listens."""
    instance.create()
    instance.run("stop", "demo")
    with spawned(instance, "start", "demo", "--timeout", "2") as process:
        wait_until((home(instance) / "server.pid").exists, WAIT_S, "the server's pid")
        pid = int((home(instance) / "server.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        _, said = process.communicate(timeout=WAIT_S)
    os.kill(pid, signal.SIGCONT)
    assert process.returncode == 1
    assert re.fullmatch(
        r"the server of demo runs, but https://\S+ did not answer rightly within 2 s \(no answer.*\); "
        rf"its log is {re.escape(str(home(instance)))}/server\.log",
        messages(said)[-1][1],
    )
    wait_until(lambda: status(instance)["healthy"], WAIT_S, "the server to come after all")


# up


def announced(process: "subprocess.Popen[str]", last: str) -> str:
    """Return what a foreground server prints, up to a line that begins like this."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(last):
            return "".join(lines)
    raise AssertionError(f"it ended: {''.join(lines)}{process.stderr and process.stderr.read()}")


def test_up_needs_no_config_and_tells_all_that_an_agent_needs(instance: Instance) -> None:
    """Its ports are the defaults, which may be taken here; so the config is that of an instance made before."""
    (instance.directory / "config.yaml").write_text(document(instance))
    with spawned(instance, "up", "-c", "config.yaml", PYTHONUNBUFFERED="1") as process:
        said = announced(process, "DD_AGENT_TELEMETRY")
        shown = instance.run("status", "local", "default").stdout
        assert f"log: standard error of process {process.pid}, which `up` runs in the foreground\n" in shown
        assert json.loads(instance.run("status", "local", "default", "--json").stdout)["log"] is None
        key = instance.key()
        anchor = home(instance).with_name("default") / "tls" / "ca.pem"
        command = ["openssl", "x509", "-in", str(anchor), "-noout", "-fingerprint", "-sha256"]
        fingerprint = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert f"https://default.localhost:{instance.https_port}" in said
        assert str(anchor) in said
        assert fingerprint.strip().partition("=")[2] in said
        assert f"DD_API_KEY={key}\nDD_DD_URL=https://localhost:{instance.https_port}\n" in said
        process.send_signal(signal.SIGINT)
        process.wait(WAIT_S)
    assert process.returncode == 0
    with spawned(instance, "up", PYTHONUNBUFFERED="1") as process:
        said = announced(process, "DD_AGENT_TELEMETRY")
        assert f"DD_API_KEY=<the token in {instance.directory / 'tenant-api-token-default'}>" in said
        assert key not in said
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)
    assert process.returncode == 0


def test_up_without_anything_makes_the_instance_and_tenant_called_default(instance: Instance) -> None:
    """Where the default ports are taken it says so instead: that too shows which config it has."""
    with spawned(instance, "up", PYTHONUNBUFFERED="1") as process:
        assert process.stdout
        said = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        errors = process.stderr.read()
    if not said:
        assert re.search(r"error: port (8443|8080) on 127\.0\.0\.1 is taken by ", errors)
        return
    assert "https://default.localhost:8443" in said
    assert (instance.directory / "tenant-api-token-default").exists()


def test_up_of_a_running_instance_is_refused(served: Instance) -> None:
    assert re.fullmatch(r"the server of served is already running \(pid \d+\)", refused(served, "up", "served"))


# start, stop


def test_up_serves_on_where_nobody_reads_what_it_prints(instance: Instance) -> None:
    (instance.directory / "c.yaml").write_text(document(instance))
    with spawned(instance, "up", "demo", "-c", "c.yaml") as process:
        assert process.stdout
        process.stdout.close()
        healthy = ("status", "local", "demo")
        wait_until(lambda: instance.run(*healthy, check=False).returncode == 0, WAIT_S, "it serves")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert process.stderr
        assert (
            "cannot print the settings of Agents: Broken pipe; `opstrace agent-config` does" in process.stderr.read()
        )


@pytest.mark.parametrize(
    "command",
    [
        ["list", "local"],
        ["list", "local", "--json"],
        ["agent-config", "served"],
        ["--help"],
        ["list", "--help"],
        ["--version"],
    ],
)
def test_output_that_cannot_be_written_is_told(served: Instance, command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*served.command, *command], stdout=full, stderr=subprocess.PIPE, env=served.environment(), text=True
        )
    assert done.returncode == 1
    assert messages(done.stderr) == [("error", "cannot write the output: No space left on device")]
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("closed", "code", "output"),
    [("2>&-", 0, "served  running"), ("<&- 2>&-", 0, "served  running"), (">&-", 0, ""), ("<&- >&- 2>&-", 0, "")],
)
def test_closed_streams_are_no_failure(served: Instance, closed: str, code: int, output: str) -> None:
    script = f'exec "{served.command[0]}" list local {closed}'
    done = subprocess.run(["sh", "-c", script], env=served.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert output in done.stdout


def test_who_has_no_standard_input_answers_nothing(served: Instance) -> None:
    for closed, said in (("<&-", "there is nobody to answer, so nothing was done; --yes does not ask"), ("2>&-", "")):
        script = f'exec "{served.command[0]}" destroy local served {closed}'
        done = subprocess.run(
            ["sh", "-c", script],
            env=served.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert said in done.stderr
    assert status(served)["healthy"]


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e300"])
@pytest.mark.parametrize("command", [["stop", "demo"], ["start", "demo"], ["create", "local", "demo"]])
def test_no_wait_is_endless(tmp_path: Path, command: list[str], seconds: str) -> None:
    done = prepared(tmp_path).run(*command, "--timeout", seconds, check=False)
    assert done.returncode == 2
    assert "Invalid value for '--timeout'" in done.stderr


def test_start_and_stop(instance: Instance) -> None:
    instance.create()
    key, pid = instance.key(), status(instance)["pid"]
    assert re.fullmatch(rf"the server of demo is already running \(pid {pid}\)", refused(instance, "start", "demo"))
    assert messages(instance.run("stop", "demo").stderr) == [("info", "stopped: demo")]
    assert messages(instance.run("stop", "demo").stderr) == [("info", "demo was not running")]
    assert not alive(pid)
    assert instance.run("status", "local", "demo", check=False).returncode == 1
    assert messages(instance.run("start", "demo").stderr)[0] == ("info", "started: demo")
    answer = instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": key})
    assert answer.status == 200


def test_a_server_that_needs_no_keys_says_so_in_its_log(instance: Instance) -> None:
    instance.config["data_api_authentication_disabled"] = True
    instance.create()
    said = (
        "data_api_authentication_disabled is true: whoever reaches "
        f"https://demo.localhost:{instance.https_port} reads and writes without a key"
    )
    assert ("warning", said) in messages((home(instance) / "server.log").read_text())


def test_a_killed_server_leaves_nothing_that_hinders_a_start(instance: Instance) -> None:
    instance.create()
    pid = status(instance)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: status(instance)["state"] == "stopped", WAIT_S, "the lock to fall")
    assert (home(instance) / "server.pid").read_text() == str(pid)
    # The pid is somebody else's meanwhile: nobody may be stopped in its place.
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (home(instance) / "server.pid").write_text(str(bystander.pid))
        assert messages(instance.run("stop", "demo").stderr) == [("info", "demo was not running")]
        instance.run("start", "demo")
        assert bystander.poll() is None
        bystander.kill()
    assert status(instance)["pid"] not in (pid, bystander.pid)


def test_start_with_a_config_brings_new_tenants_and_keeps_the_others(instance: Instance) -> None:
    instance.create()
    key, anchor = instance.key(), (home(instance) / "tls" / "ca.pem").read_bytes()
    instance.run("stop", "demo")
    (instance.directory / "tenant-api-token-default").unlink()
    said = instance.run(
        "start", "demo", "-c", "/dev/stdin", stdin=document(instance, tenants=["default", "new"])
    ).stderr
    assert ("info", "write api token for tenant new to file tenant-api-token-new") in messages(said)
    assert not (instance.directory / "tenant-api-token-default").exists()
    assert (home(instance) / "tls" / "ca.pem").read_bytes() == anchor
    for known in (key, instance.key("new")):
        assert instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": known}).status == 200
    assert status(instance)["healthy"]


def test_a_stored_config_with_a_typo_locks_nobody_out(instance: Instance) -> None:
    instance.create()
    (instance.directory / "good.yaml").write_text(document(instance))
    stored = home(instance) / "config.yaml"
    with stored.open("a") as file:
        file.write("typo: 1\n")
    said = refused(instance, "agent-config", "demo")
    assert f"{stored}: typo is not a key of the config" in said
    assert said.endswith("mend that file, or replace it by `opstrace start demo -c FILE`")
    assert "exists already" in refused(instance, "create", "local", "demo", "-c", "good.yaml")
    assert "already running" in refused(instance, "start", "demo", "-c", "good.yaml")
    assert messages(instance.run("stop", "demo").stderr) == [("info", "stopped: demo")]
    instance.run("start", "demo", "-c", "good.yaml")
    assert status(instance)["healthy"]
    stored.write_text("typo: 1\n")
    (home(instance) / "keys.json").write_text("{")
    assert messages(instance.run("destroy", "local", "demo", "--yes").stderr) == [("info", "destroyed: demo (local)")]
    assert list(home(instance).parent.iterdir()) == []


@pytest.mark.parametrize("command", ["start NAME", "stop NAME", "status local NAME", "agent-config NAME"])
def test_an_instance_that_is_not_there_is_told(instance: Instance, command: str) -> None:
    sentence = refused(instance, *command.replace("NAME", "absent").split())
    assert sentence == "there is no instance absent; `opstrace list local` shows those that exist"


# status, list, TLS


def test_status_shows_every_endpoint_of_every_tenant(served: Instance) -> None:
    done = served.run("status", "local", "served")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\033" not in done.stdout
    assert len(re.findall(r"ok, \d+ ms$", done.stdout, re.MULTILINE)) == 8
    found = status(served)
    assert (found["state"], found["healthy"], found["finished"]) == ("running", True, True)
    assert f"log: {found['log']}\n" in done.stdout
    assert found["log"] == str(home(served) / "server.log")
    hosts = {row["url"].split("/")[2].partition(":")[0] for row in found["endpoints"]}
    tenants = ("beta", "alpha", "system")
    assert hosts == {"served.localhost", "127.0.0.1"} | {
        f"{prefix}{tenant}.served.localhost" for tenant in tenants for prefix in ("", "dd.")
    }


def on_a_terminal(instance: Instance, *arguments: str, **variables: str) -> str:
    """Return what a command writes where standard output is a terminal."""
    terminal, end = os.openpty()
    with os.fdopen(terminal, "rb", closefd=True) as shown:
        process = subprocess.Popen(
            [*instance.command, *arguments], stdout=end, stderr=end, env=instance.environment() | variables
        )
        os.close(end)
        lines = []
        with process, contextlib.suppress(OSError):  # a terminal whose other end is shut
            lines.extend(iter(shown.readline, b""))
    return b"".join(lines).decode()


def test_colour_is_for_terminals_whose_owner_wants_it(served: Instance) -> None:
    assert "\033[32mok, " in on_a_terminal(served, "status", "local", "served")
    assert "\033[32mok, " in on_a_terminal(served, "status", "local", "served", NO_COLOR="")
    assert "\033" not in on_a_terminal(served, "status", "local", "served", NO_COLOR="1")


def test_status_of_a_server_that_hangs_says_so_in_words(instance: Instance) -> None:
    instance.create()
    pid = status(instance)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = instance.run("status", "local", "demo", check=False)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    assert len(re.findall(r"  no answer within 5 s$", done.stdout, re.MULTILINE)) == 6


def test_status_needs_no_token_files(served: Instance, tmp_path: Path) -> None:
    elsewhere = subprocess.run(
        [*served.command, "status", "local", "served"], cwd=tmp_path, env=served.environment(), check=False
    )
    assert elsewhere.returncode == 0


def test_list_shows_what_there_is(served: Instance) -> None:
    assert "served  running  https://served.localhost:" in served.run("list", "local").stdout
    (found,) = json.loads(served.run("list", "local", "--json").stdout)
    assert (found["name"], found["state"], found["provider"]) == ("served", "running", "local")


def test_where_there_is_no_instance_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    empty = prepared(tmp_path)
    hint = "`opstrace create local NAME -c FILE` makes one, as does `opstrace up`"
    done = empty.run("list", "local")
    assert (done.stdout, messages(done.stderr)) == ("", [("info", f"there is no instance of this user; {hint}")])
    done = empty.run("list", "local", "--json")
    assert (json.loads(done.stdout), done.stderr) == ([], "")
    for command in (["query", "up"], ["grafana", "provision", "here"]):
        assert refused(empty, *command) == f"there is no instance; {hint}"


def test_list_shows_a_broken_instance_among_others(instance: Instance) -> None:
    instance.create()
    instance.run("stop", "demo")
    keys = home(instance) / "keys.json"
    content = keys.read_bytes()
    keys.write_bytes(b"{")
    assert re.search(r"^demo +broken: .*keys\.json is damaged", instance.run("list", "local").stdout, re.MULTILINE)
    keys.write_bytes(content)


def anchored(served: Instance) -> ssl.SSLContext:
    """Return a context that trusts what the plain listener says is the anchor."""
    pem = served.send("GET", "/trust-anchor.pem").body.decode()
    assert pem == (home(served) / "tls" / "ca.pem").read_text()
    return ssl.create_default_context(cadata=pem)


@pytest.mark.parametrize(
    "host", ["served.localhost", "beta.served.localhost", "dd.alpha.served.localhost", "localhost"]
)
def test_tls_holds_for_whoever_trusts_the_anchor_and_for_nobody_else(served: Instance, host: str) -> None:
    assert served.send_tls("GET", "/_health", anchored(served), host, {}).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        served.send_tls("GET", "/_health", ssl.create_default_context(), host, {})


@pytest.mark.parametrize(
    ("host", "tenant", "status"),
    [
        ("dd.beta.served.localhost", "beta", 200),
        ("dd.beta.served.localhost", "alpha", 403),
        ("localhost", "alpha", 200),
    ],
)
def test_a_key_opens_its_own_tenants_names_only(served: Instance, host: str, tenant: str, status: int) -> None:
    headers = {"DD-API-KEY": served.key(tenant)}
    assert served.send_tls("GET", "/api/v1/validate", anchored(served), host, headers).status == status


def test_a_probe_key_opens_nothing_but_what_it_is_for(served: Instance) -> None:
    from opstrace.tenants import probe_key

    key = probe_key((home(served) / "probe-secret").read_bytes(), "beta")
    asked = {
        "/api/v1/validate": 200,
        "/prometheus/api/v1/status/buildinfo": 200,
        "/prometheus/api/v1/query?query=1": 403,
        "/prometheus/api/v1/labels": 403,
        "/metrics": 403,
        "/admin/losses": 200,
        "/admin/dogstatsd": 200,
        "/admin/logs": 403,
        "/admin/metrics": 403,
        "/admin/dashboards": 403,
        "/admin/tenants": 403,
        "/admin/limits": 403,
    }
    assert {path: served.send("GET", path, headers={"DD-API-KEY": key}).status for path in asked} == asked
    system = {"DD-API-KEY": probe_key((home(served) / "probe-secret").read_bytes(), "system")}
    asked |= {"/admin/tenants": 200, "/admin/limits": 200}
    assert {path: served.send("GET", path, headers=system).status for path in asked} == asked
    assert served.send("POST", "/api/v1/series", b'{"series":[]}', {"DD-API-KEY": key}).status == 403


# destroy


def test_destroy_asks_and_then_removes_all(instance: Instance) -> None:
    instance.create()
    pid = status(instance)["pid"]
    for stdin, told in (
        ("n\n", "nothing was done, as the answer was not yes"),
        ("sure\n" * 3, "nothing was done, as the answer was not yes"),
        ("", "there is nobody to answer, so nothing was done; --yes does not ask"),
    ):
        done = instance.run("destroy", "local", "demo", stdin=stdin, check=False)
        assert done.returncode == 1
        assert messages(done.stderr.splitlines()[-1]) == [("error", told)]
    assert status(instance)["pid"] == pid
    headers = {"DD-API-KEY": instance.key()}
    for path in ("/api/v2/not-known-yet", "/api/v1/series", "/support/flare"):  # all that a server writes to disk
        assert instance.send("POST", path, b'{"series":[]}', headers).status in (200, 202, 400)
    done = instance.run("destroy", "local", "demo", stdin="y\n")
    assert "Destroy the instance demo (local) with all data in" in done.stderr
    assert not alive(pid)
    assert list(home(instance).parent.iterdir()) == []
    assert (instance.directory / "tenant-api-token-default").exists()


@contextmanager
def asked(instance: Instance, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run a command on a terminal up to its question; give the terminal's other end, too."""
    terminal, end = os.openpty()
    process = subprocess.Popen(
        [*instance.command, *arguments],
        cwd=instance.directory,
        env=instance.environment(),
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    os.close(end)
    with process:
        assert process.stderr
        said = ""
        while not said.endswith("[y/N]:"):
            letter = process.stderr.read(1)
            assert letter, said
            said += letter
        # An interruption before it waits for the answer would be noticed after that only.
        wait_until(lambda: _state_of(process.pid) == "S", WAIT_S, "it waits")
        yield process, terminal
        process.kill()
    os.close(terminal)


@pytest.mark.parametrize("command", [["destroy", "local", "demo"], ["tenants", "remove", "demo", "other"]])
def test_an_interruption_of_a_question_is_one(instance: Instance, command: list[str]) -> None:
    instance.config["tenants"] = ["default", "other"]
    instance.create()
    with asked(instance, *command) as (process, _):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    interrupted = ("error", "interrupted; the same command, run again, completes what it began")
    assert messages(said.lstrip()) == [interrupted]
    with asked(instance, *command) as (process, terminal):
        os.write(terminal, b"\x04")
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert messages(said.lstrip()) == [("error", "nothing was done, as the answer was not yes")]
    assert status(instance)["tenants"] == ["default", "other", "system"]


def test_an_instance_created_after_a_destruction_accepts_the_same_tokens(instance: Instance) -> None:
    instance.create()
    key = instance.key()
    instance.destroy()
    assert ("info", "use api token for tenant default from file tenant-api-token-default") in messages(
        instance.create().stderr
    )
    assert instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": key}).status == 200


def test_data_dir_holds_the_instance_and_is_left_empty(instance: Instance) -> None:
    (instance.directory / "disk").mkdir()
    instance.config["data_dir"] = "disk"
    instance.create()
    assert status(instance)["home"] == str(instance.directory / "disk")
    assert (instance.directory / "disk" / "data").is_dir()
    instance.destroy()
    assert list((instance.directory / "disk").iterdir()) == []


@pytest.mark.parametrize("mount_point", [True, False], ids=["the mount point", "a directory of the volume"])
def test_an_instance_is_not_made_anew_while_its_data_dir_is_not_mounted(
    instance: Instance, mount_point: bool
) -> None:
    volume, away = instance.directory / "volume", instance.directory / "away"
    volume.mkdir()
    instance.config["data_dir"] = "volume" if mount_point else "volume/demo"
    instance.create()
    instance.run("stop", "demo")
    volume.rename(away)
    volume.mkdir()
    (instance.directory / "c.yaml").write_text(document(instance))
    for command in (["up", "demo"], ["create", "local", "demo"], ["start", "demo"]):
        assert "is not there; is it mounted?" in refused(instance, *command, "-c", "c.yaml")
    assert list(volume.iterdir()) == []
    volume.rmdir()
    away.rename(volume)
    instance.run("start", "demo", "-c", "c.yaml")
    assert instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": instance.key()}).status == 200
    instance.run("stop", "demo")
    volume.rename(away)
    told = messages(instance.run("destroy", "local", "demo", "--yes").stderr)
    assert told[-1][1].startswith("forgot demo, whose data_dir is not there; if ")
    assert json.loads(instance.run("list", "local", "--json").stdout) == []


# agent-config, dogstatsd-stats, promql, help


def test_dogstatsd_that_is_off_is_told(served: Instance) -> None:
    assert refused(served, "dogstatsd-stats", "served").startswith(
        "DogStatsD of served is off; set dogstatsd.enabled"
    )
    done = served.run("dogstatsd-stats", "served", "--json", check=False)
    assert (done.returncode, json.loads(done.stdout)) == (1, {"enabled": False, "names": []})
    assert "DogStatsD of served is off" in messages(done.stderr)[0][1]


def test_agent_config_is_ready_to_paste(served: Instance) -> None:
    found = yaml.safe_load(served.run("agent-config", "served", "--format", "yaml", "--tenant", "alpha").stdout)
    assert found["api_key"] == served.key("alpha")
    assert found["dd_url"] == f"https://localhost:{served.https_port}"
    everything = served.run("agent-config", "served").stdout
    for notation in ("env", "docker"):
        assert served.run("agent-config", "served", "--format", notation).stdout in everything


def test_promql_test_counts_and_tells(tmp_path: Path) -> None:
    script = "load 1m\n  m 1 2 3\n\neval instant at 2m m\n  m 3\n\neval instant at 2m m + 1\n  {} 5\n"
    (tmp_path / "a.test").write_text(script)
    done = prepared(tmp_path).run("promql", "test", "-v", "a.test", check=False)
    assert done.returncode == 1
    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("a.test: 1 passed, 1 failed", "1 passed, 1 failed")
    assert "a.test:7: m + 1" in done.stdout


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    from opstrace import __version__

    assert prepared(tmp_path).run("--version").stdout.split()[-1] == __version__


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, group
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from commands(found, (*words, name))
        else:
            yield (*words, name), found


COMMANDS: Mapping[str, click.Command] = {" ".join(words): found for words, found in commands(main)}


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself(tmp_path: Path, words: str) -> None:
    said = prepared(tmp_path).run(*words.split(), "--help").stdout
    assert said.startswith(f"Usage: opstrace {words}".rstrip())
    assert COMMANDS[words].help.splitlines()[0].split(":")[0].strip() in " ".join(said.split())  # type: ignore[union-attr]


def section(words: str) -> str:
    page = (ROOT / "docs" / "cli.md").read_text()
    found = re.search(rf"^## `opstrace {words}\b(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert found, words
    return found[1]


@pytest.mark.parametrize(
    "words", [words for words, found in COMMANDS.items() if not isinstance(found, click.Group) and not found.hidden]
)
def test_the_page_has_every_option_of_every_command_and_no_other(words: str) -> None:
    options = [one for one in COMMANDS[words].params if isinstance(one, click.Option) and not one.hidden]
    rows = re.findall(r"^\| (`-.*?`) \|", section(words), re.MULTILINE)
    assert {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row)} == {
        name for option in options for name in option.opts
    }
    for argument in COMMANDS[words].params:
        assert not isinstance(argument, click.Argument) or argument.name in (
            "provider",
            "name",
            "files",
            "directory",
            "expression",
            "given",
            "tenant",
        )


@pytest.mark.parametrize("arguments", [["creat"], ["create", "aws", "x"], ["stop"], ["list", "local", "--jsn"]])
def test_wrong_usage_ends_with_two(tmp_path: Path, arguments: list[str]) -> None:
    assert prepared(tmp_path).run(*arguments, check=False).returncode == 2


LIGHT = """
import sys
from opstrace.cli import main
main(["list", "local", "--json"], standalone_mode=False)
heavy = {"chdb", "numpy", "pyarrow", "pandas", "uvicorn", "starlette", "cryptography"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""


def test_light_commands_do_not_load_heavy_modules(tmp_path: Path) -> None:
    environment = prepared(tmp_path).environment()
    done = subprocess.run([sys.executable, "-c", LIGHT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_keys_are_rotated_and_revoked_while_the_server_runs(instance: Instance) -> None:
    """First both keys work, so that Agents can be changed one by one; then only the new one does."""
    instance.create()
    old = instance.key()

    def validated(key: str) -> int:
        return instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": key}).status

    logged_in = instance.send("POST", "/ui/session", headers={"DD-API-KEY": old, "sec-fetch-site": "same-origin"})
    browser = {"cookie": logged_in.headers["set-cookie"].partition(";")[0], "sec-fetch-site": "same-origin"}
    instance.run("keys", "rotate", "demo", "default")
    new = instance.key()
    assert new != old
    assert [validated(old), validated(new)] == [200, 200]
    assert instance.send("GET", "/ui/session", headers=browser).status == 200
    told = instance.run("keys", "revoke", "demo", "default").stderr
    assert messages(told)[-1] == ("info", "tenant default: 1 key revoked, the newest stays")
    assert [validated(old), validated(new)] == [403, 200]
    assert instance.send("GET", "/ui/session", headers=browser).status == 403
    (row, _) = json.loads(instance.run("keys", "list", "demo", "--json").stdout)
    assert (row["tenant"], row["keys"], row["there"]) == ("default", 1, True)
    instance.run("stop", "demo")
    instance.run("keys", "rotate", "demo", "system")
    instance.run("start", "demo")
    assert [validated(new), validated(instance.key("system"))] == [200, 200]


def test_who_does_not_run_is_not_asked_though_another_has_its_port(instance: Instance, tmp_path: Path) -> None:
    instance.create()
    instance.run("stop", "demo")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    with running(elsewhere, "another", instance.config):
        for command in (["losses", "demo"], ["replay", "demo"], ["query", "up", "demo"]):
            assert refused(instance, *command) == "demo does not run; start it by `opstrace start demo`"


def test_a_tenant_made_over_http_has_a_key_that_is_in_no_file(instance: Instance) -> None:
    instance.create()
    headers = {"DD-API-KEY": instance.key("system")}
    assert instance.send("POST", "/admin/tenants", b'{"name": "third"}', headers).status == 200
    assert re.search(
        r"^third +1 +- +never written to a file$", instance.run("keys", "list", "demo").stdout, re.MULTILINE
    )
    said = refused(instance, "query", "up", "demo", "--tenant", "third")
    assert said == (
        "the token of tenant third was never written to a file; make a new one by `opstrace keys rotate demo third`, "
        "or ask over HTTP with your own"
    )
    instance.run("keys", "rotate", "demo", "third")
    instance.run("query", "up", "demo", "--tenant", "third")


def test_a_tenant_that_is_not_there_has_no_keys(served: Instance) -> None:
    for command in ("rotate", "revoke"):
        assert refused(served, "keys", command, "served", "gamma") == (
            "served has no tenant gamma; it has beta, alpha, system"
        )
