"""What has to be there before the first case: tools from apt, our binaries, the rights."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {
    "turnserver": "coturn",
    "turnutils_stunclient": "coturn",
    "turnutils_natdiscovery": "coturn",
    "stun": "stun-client",
    "ip": "iproute2",
    "ss": "iproute2",
    "miniupnpd": "miniupnpd-nftables",
    "nft": "nftables",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "gcc": "gcc",
    "pkg-config": "pkg-config",
    "go": "golang-go",
    "chromium": "chromium",
}
# What is not a program: libraries and modules that the foreign ICE agents are built from (kit/agents.py).
FILES = {
    "/usr/include/nice/agent.h": "libnice-dev",
    "/usr/include/json-glib-1.0/json-glib/json-glib.h": "libjson-glib-dev",
    "/usr/share/gocode/src/github.com/pion/ice/v2/agent.go": "golang-github-pion-ice.v2-dev",
}

# What sudo is not to forget.
KEPT = ("BRADAWL_BIN_DIR", "BRADAWL_ICE_PEER", "BRADAWL_ICE_BENCH", "CARGO_TARGET_DIR")


def note(text):
    print(text, file=sys.stderr, flush=True)


def look_in_sbin():
    """The tools of root are not in everyone's PATH."""
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"


def missing():
    packages = {package for tool, package in PACKAGES.items() if not shutil.which(tool)}
    packages |= {package for file, package in FILES.items() if not os.path.exists(file)}
    if not importlib.util.find_spec("ensurepip"):
        packages.add("python3-venv")
    return sorted(packages)


def install():
    """Installs what is missing, if we may and can; the cases that need the rest say so themselves."""
    packages = missing()
    if not packages or os.geteuid() != 0:
        return
    note(f"interop: installing {' '.join(packages)}")
    apt("update", "-qq")
    # Not every distribution has all of them, and one that it has not must not keep the others away.
    if not apt("install", *packages):
        for package in packages:
            apt("install", package)
    if "coturn" in packages and pathlib.Path("/run/systemd/system").exists():
        # The package starts a public server as a service; nobody asked for that.
        subprocess.run(["systemctl", "disable", "--now", "coturn"], capture_output=True, timeout=60, check=False)


def apt(command, *words):
    """Whether apt-get did it; if not it has said why."""
    options = ["-y", "-qq", "--no-install-recommends"] if command == "install" else []
    try:
        done = subprocess.run(
            ["apt-get", command, *options, *words], env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        note(f"interop: apt-get {command}: {error}")
        return False
    if done.returncode:
        note(f"interop: apt-get {command}: {done.stderr.strip()[-500:]}")
    return done.returncode == 0


def build():
    """Builds the release binaries unless BRADAWL_BIN_DIR says where they are."""
    if os.environ.get("BRADAWL_BIN_DIR"):
        return
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "bradawl-tokio", "--bins", "--examples"]
    if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit("interop: the binaries do not build")
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    os.environ["BRADAWL_BIN_DIR"] = str(ROOT / target / "release")


def build_bench():
    """Builds the bench of ICE agents unless BRADAWL_ICE_BENCH says where it is; left empty if that fails.

    By whoever called us: root may have no cargo, and is not to leave files of its own.
    """
    if "BRADAWL_ICE_BENCH" in os.environ or not shutil.which("cargo"):
        return
    command = ["cargo", "bench", "--locked", "--quiet", "-p", "bradawl-benches", "--bench", "ice", "--no-run"]
    command.append("--message-format=json")
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    # The binaries of the package are built beside it.
    built = [one["executable"] for one in said if one.get("target", {}).get("kind") == ["bench"]]
    os.environ["BRADAWL_ICE_BENCH"] = "" if done.returncode else next(filter(None, built), "")


def become_root():
    """Goes on as root where sudo asks for no password: namespaces and apt need it."""
    if os.geteuid() == 0 or os.environ.get("BRADAWL_INTEROP_NO_SUDO"):
        return
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        words = [f"{name}={os.environ[name]}" for name in KEPT if name in os.environ]
        os.execvp("sudo", ["sudo", "-n", "env", *words, sys.executable, "-B", *sys.argv])
    note("interop: neither root nor sudo without a password: the cases in namespaces will be skipped")
