"""The list of cases and how one is judged.

A case is a function with the decorator `@case(name)`. It returns, in words, what was seen;
raises `Fail` (through `expect`) when that is not what the RFC or the topology says; raises
`Skip` with the reason when it cannot run on this machine.
"""

import contextlib
import os
import shutil
import signal
import time
import typing

CASES = {}
NAMESPACE_TOOLS = ("ip", "nft", "nsenter", "unshare")


class Fail(Exception):
    """What was seen is wrong."""


class Skip(Exception):
    """The case cannot run here; the text says why."""


def case(name, *tools, seconds=60, namespace=False):
    """Registers a case that uses these tools and must end within `seconds`."""

    def register(function):
        assert name not in CASES, f"two cases are called {name}"
        CASES[name] = Case(function, tools + (NAMESPACE_TOOLS if namespace else ()), seconds, namespace)
        return function

    return register


class Case(typing.NamedTuple):
    function: typing.Callable[[], str]
    tools: tuple[str, ...]
    seconds: int
    namespace: bool

    def run(self):
        """What was seen; raises as said above."""
        if missing := [tool for tool in self.tools if not shutil.which(tool)]:
            raise Skip(f"not installed, and apt did not install it: {', '.join(missing)}")
        if self.namespace and os.geteuid() != 0:
            raise Skip("needs root for a network namespace")
        with time_limit(self.seconds):
            return self.function()


def expect(condition, message):
    if not condition:
        raise Fail(message)


def equal(what, seen, wanted):
    expect(seen == wanted, f"{what}: {seen!r}, expected {wanted!r}")


@contextlib.contextmanager
def time_limit(seconds):
    """Fails the block when it takes longer: nothing here may hang."""

    def expired(_signal, _frame):
        raise Fail(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def until(seconds, attempt, what):
    """Calls `attempt` until it returns something true, at most for `seconds`."""
    end = time.monotonic() + seconds
    while True:
        if result := attempt():
            return result
        if time.monotonic() > end:
            raise Fail(f"{what}: not within {seconds} s")
        time.sleep(0.02)
