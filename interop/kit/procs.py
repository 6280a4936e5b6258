"""Processes that cannot outlive us, and tools that run to their end.

Whatever is started here is in `ALIVE` and is ended by `stop_all`; if we are killed outright,
the kernel kills it for us (`setpriv --pdeathsig`).
"""

import contextlib
import signal
import subprocess
import tempfile
import time

from .case import Fail

ALIVE = []
TIED = ["setpriv", "--pdeathsig", "KILL", "--"]


class Process:
    """A long-lived process with its output in a file (a pipe nobody reads would block it).

    Who wants to read its stdout as it comes says so, and then only stderr is in the file.
    """

    def __init__(self, command, stdin=subprocess.DEVNULL, stdout=None):
        self.name = command[0].rsplit("/", 1)[-1]
        self.output = tempfile.TemporaryFile()
        self.child = subprocess.Popen(TIED + command, stdin=stdin, stdout=stdout or self.output, stderr=self.output)
        ALIVE.append(self)

    def text(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def running(self):
        return self.child.poll() is None

    def stop(self, signum=signal.SIGTERM, seconds=5):
        """Ends it; the exit code, negative for a signal. Killed when it does not end by itself."""
        if self in ALIVE:
            ALIVE.remove(self)
        if self.child.stdin:
            with contextlib.suppress(OSError):
                self.child.stdin.close()
        if self.running():
            self.child.send_signal(signum)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()


def stop_all(down_to=0):
    """Ends the newest first, until `down_to` are left."""
    while len(ALIVE) > down_to:
        ALIVE[-1].stop(seconds=2)


def run(command, seconds=30):
    """Runs a tool to its end: (exit code, stdout, stderr)."""
    try:
        done = subprocess.run(
            TIED + command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, errors="replace", check=False
        )
    except subprocess.TimeoutExpired:
        raise Fail(f"{command[0]} still running after {seconds} s") from None
    return done.returncode, done.stdout, done.stderr


def run_beside(commands, seconds=30):
    """Runs several tools at the same time; their outputs (stdout and stderr), in order."""
    tools = [Process(command) for command in commands]
    end = time.monotonic() + seconds
    for tool in tools:
        try:
            tool.child.wait(max(0.01, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Fail(f"{tool.name} still running after {seconds} s") from None
        ALIVE.remove(tool)
    return [tool.text() for tool in tools]


def must(command, stdin=None):
    """Runs a tool that has to succeed; its stdout."""
    done = subprocess.run(TIED + command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise Fail(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
