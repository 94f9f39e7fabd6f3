"""The start script before it has made its environment: each thing that can be missing is one clear sentence.

What it does on a machine that has everything is the walkthrough's business.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("dirname", "readlink", "cat", "cmp", "tail", "rm", "sh")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script looks at, with a PATH of its own in `bin`."""
    for name in ("opstrace", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def provide(checkout: Path, name: str, script: str) -> None:
    (checkout / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (checkout / "bin" / name).chmod(0o755)


def run(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": str(checkout / "bin")}
    command = [str(checkout / "opstrace"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_no_python_is_told(checkout: Path) -> None:
    done = run(checkout, "--version")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("opstrace: Python 3.11 or newer is needed and none was found; install it")


def test_an_old_python_is_told(checkout: Path) -> None:
    provide(checkout, "python3", "exit 1")
    done = run(checkout, "--version")
    assert done.returncode == 1
    assert done.stderr.startswith("opstrace: Python 3.11 or newer is needed and none was found; install it")


def test_a_newer_python_beside_an_old_one_is_taken_and_its_missing_venv_is_told(checkout: Path) -> None:
    provide(checkout, "python3", "exit 1")
    provide(checkout, "python3.12", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = run(checkout, "--version")
    assert done.returncode == 1
    assert done.stderr.startswith(f"opstrace: the Python at {checkout}/bin/python3.12 has no venv module; install it")


INSTALLING = (
    'case "$1 $2" in "-m venv") for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;; {} esac'
)


def test_dependencies_that_cannot_be_installed_are_told_and_tried_again(checkout: Path) -> None:
    for name in ("mkdir", "cp"):
        (checkout / "bin" / name).symlink_to(str(shutil.which(name)))
    provide(checkout, "python3", INSTALLING.format('"-m pip") exit 1 ;;'))
    for _ in range(2):
        done = run(checkout, "--version")
        assert done.returncode == 1
        assert "opstrace: could not install the dependencies; see pip's message above." in done.stderr


def test_what_is_installed_is_used_without_a_word_until_something_changes(checkout: Path) -> None:
    """A stand-in for Python notes what is asked of it: an installation is two calls of pip, a later start none."""
    for name in ("mkdir", "cp"):
        (checkout / "bin" / name).symlink_to(str(shutil.which(name)))
    calls = checkout / "calls"
    provide(checkout, "python3", INSTALLING.format(f'"-m pip") echo pip >>{calls} ;;'))

    def installs(where: Path = checkout) -> int:
        (where / "calls").unlink(missing_ok=True)
        calls.unlink(missing_ok=True)
        assert run(where, "--prepare").returncode == 0
        return len(calls.read_text().split()) if calls.exists() else 0

    assert installs() == 2
    assert installs() == 0
    with (checkout / "requirements.txt").open("a") as file:
        file.write("another==1\n")
    assert installs() == 2
    assert installs() == 0
    (checkout / "ui" / "src").mkdir(parents=True)
    (checkout / "ui" / "src" / "page.tsx").write_text("export {};\n")
    assert installs() == 2
    assert installs() == 0
    (checkout / ".venv" / "bin" / "python").unlink()
    assert installs() == 2
    moved = checkout.with_name(checkout.name + "-moved")
    shutil.copytree(checkout, moved, symlinks=True)
    assert installs(moved) == 2
    assert installs(moved) == 0


def test_a_link_leads_to_the_checkout(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in ("mkdir", "cp"):
        (checkout / "bin" / name).symlink_to(str(shutil.which(name)))
    provide(checkout, "python3", INSTALLING.format(""))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "near").symlink_to(checkout / "opstrace")
    (elsewhere / "opstrace").symlink_to("near")
    command = [str(elsewhere / "opstrace"), "--prepare"]
    subprocess.run(command, env={"PATH": str(checkout / "bin")}, capture_output=True, check=True)
    assert (checkout / ".venv" / "installed").exists()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["near", "opstrace"]


def test_who_may_not_install_is_told_who_may(checkout: Path) -> None:
    (checkout / "bin" / "rm").unlink()
    provide(checkout, "rm", 'echo "rm: cannot remove: Permission denied" >&2; exit 1')
    provide(checkout, "python3", "")
    done = run(checkout, "--version")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"opstrace: something is to be installed into {checkout}/.venv, and this user may not; "
        f"run {checkout}/opstrace --prepare as the user it belongs to.\n"
    )


def test_a_web_ui_that_could_not_be_built_is_told_once(checkout: Path) -> None:
    for name in ("mkdir", "cp"):
        (checkout / "bin" / name).symlink_to(str(shutil.which(name)))
    provide(checkout, "python3", INSTALLING.format(""))
    static = checkout / "src" / "opstrace" / "web" / "static"
    static.mkdir(parents=True)
    (static / "unbuilt.txt").write_text("npm could not fetch what the build needs: no network\n")
    done = run(checkout, "--prepare")
    assert done.returncode == 0
    assert "opstrace: the web UI could not be built, everything else works: npm could not fetch" in done.stderr
    assert run(checkout, "--prepare").stderr == ""


def test_arguments_and_exit_code_pass_through(checkout: Path) -> None:
    for name in ("mkdir", "cp"):
        (checkout / "bin" / name).symlink_to(str(shutil.which(name)))
    provide(checkout, "python3", INSTALLING.format(""))
    assert run(checkout, "--prepare").returncode == 0
    provide(checkout, "../.venv/bin/opstrace", 'printf "<%s>" "$@"; exit 7')
    done = run(checkout, "create", "two words", "$HOME", "")
    assert (done.returncode, done.stdout, done.stderr) == (7, "<create><two words><$HOME><>", "")
