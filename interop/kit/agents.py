"""The ICE agents: ours and those of others, each as a command that speaks the JSON lines of DESIGN §9.

Those of others are built once, into `target/interop-ice`.
"""

import functools
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

from . import servers
from .case import Fail, Skip
from .setup import FILES, ROOT

SOURCES = ROOT / "interop" / "ice"
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute() / "interop-ice"
AIOICE = "aioice>=0.13"
GOPATH = "/usr/share/gocode"


def command(name):
    """The command that begins the agent of that name; raises `Skip` when it cannot be had."""
    if name == "ours":
        return ours()
    made, why = _made(name)
    if why:
        raise Skip(why)
    return made


def ours():
    """Ours, or the one that BRADAWL_ICE_PEER names: another's, or a command of the caller's."""
    instead = os.environ.get("BRADAWL_ICE_PEER")
    if instead in MAKERS:
        return command(instead)
    return shlex.split(instead) if instead else [servers.ours("bradawl-peer"), "ice"]


def prepare():
    """Builds them all: what takes long is not to be on the account of the first case."""
    for name in MAKERS:
        _made(name)


@functools.cache
def _made(name):
    """The command and None, or None and why there is none: made once, also when it fails."""
    try:
        return MAKERS[name](), None
    except (Fail, OSError, subprocess.TimeoutExpired) as why:
        return None, f"no {name}: {why}"


def aioice():
    python = BUILT / "venv" / "bin" / "python"
    if not python.exists():
        tool([sys.executable, "-m", "venv", str(BUILT / "venv")])
    if subprocess.run([python, "-c", "import aioice"], capture_output=True, timeout=60, check=False).returncode:
        tool([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", AIOICE])
    return [str(python), "-B", str(SOURCES / "aioice_peer.py")]


def libnice():
    need("gcc", "pkg-config", header="/usr/include/nice/agent.h")
    words = tool(["pkg-config", "--cflags", "--libs", "nice", "json-glib-1.0", "gio-unix-2.0"]).split()
    version = tool(["pkg-config", "--modversion", "nice"]).strip()
    source, program = SOURCES / "libnice_peer.c", BUILT / "libnice_peer"
    if stale(program, source):
        tool(["gcc", "-O1", "-Wall", f'-DVERSION="{version}"', "-o", str(program), str(source), *words])
    return [str(program)]


def pion():
    need("go", header="/usr/share/gocode/src/github.com/pion/ice/v2/agent.go")
    source, program = SOURCES / "pion_peer.go", BUILT / "pion_peer"
    if stale(program, source):
        version = tool(["dpkg-query", "-W", "-f", "${source:Upstream-Version}", "golang-github-pion-ice.v2-dev"])
        flags = f"-X main.version={version.strip()}"
        environment = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(BUILT / "go"), "GOFLAGS": ""}
        tool(["go", "build", "-p", "2", "-ldflags", flags, "-o", str(program), str(source)], **environment)
    return [str(program)]


def chromium():
    need("chromium")
    return [sys.executable, "-B", str(SOURCES / "chromium_peer.py")]


MAKERS = {"aioice": aioice, "libnice": libnice, "pion": pion, "chromium": chromium}


def need(*tools, header=None):
    packages = [name for name in tools if not shutil.which(name)]
    if header and not os.path.exists(header):
        packages.append(FILES[header])
    if packages:
        raise Fail(f"not installed, and apt did not install it: {', '.join(packages)}")


def stale(program, source):
    BUILT.mkdir(parents=True, exist_ok=True)
    return not program.exists() or program.stat().st_mtime < source.stat().st_mtime


def tool(words, **environment):
    """Runs a tool of the build; its stdout."""
    done = subprocess.run(
        words, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise Fail(f"{words[0]}: {(done.stderr.strip() or done.stdout.strip())[-300:]}")
    return done.stdout
