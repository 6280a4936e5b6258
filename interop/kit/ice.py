"""Two ICE agents that speak the JSON lines of DESIGN §9, what is passed between them, and what is judged.

We are the signalling: what one prints goes to the other at once, in the order in which it came, unless the
`Wire` between them says otherwise.

DESIGN §9 leaves one thing open that is fixed here: to `restart` an agent answers with another `local`, its
candidates once more, and `state` and `selected` once more when it has a pair again. Both are told to restart
before either hears of the other's new credentials.
"""

import base64
import dataclasses
import json
import os
import re
import selectors
import subprocess
import time
import typing

from . import agents, procs
from .case import Fail, equal, expect
from .net import HOME

# So many datagrams may be on their way in each direction: few enough for any socket's buffer.
WINDOW = 48
# A first byte that is neither STUN's, nor DTLS's, nor of a TURN channel (RFC 7983).
DATA = 0xB0
DTLS_HANDSHAKE = 22
GRACE = 10


class Agent(procs.Process):
    """A running agent and what it has said."""

    def __init__(self, name, role, where=HOME, flags=()):
        self.role, self.flags = role, flags
        command = [*agents.command(name), "--role", role, *flags]
        super().__init__(where.command(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.name = f"{name} ({role})"
        self.rest = b""
        self.local, self.locals, self.selected, self.states = None, 0, None, []
        self.candidates, self.received, self.errors = [], [], []
        self.ended = False

    def tell(self, kind, **fields):
        line = json.dumps({"type": kind, **fields}).encode() + b"\n"
        self.tell_bytes(line)

    def tell_bytes(self, line):
        try:
            self.child.stdin.write(line)
            self.child.stdin.flush()
        except OSError:
            raise Fail(f"{self.name} takes no more lines: {self.tail()}") from None

    def lines(self):
        """The lines that have come since the last time."""
        data = os.read(self.child.stdout.fileno(), 1 << 16)
        self.ended = not data
        *whole, self.rest = (self.rest + data).split(b"\n")
        for line in whole:
            try:
                message = json.loads(line)
                self.note(message, message["type"])
            except (ValueError, KeyError, TypeError) as error:
                raise Fail(f"{self.name} printed {line[:200]!r}: {type(error).__name__} {error}") from None
            yield message

    def note(self, message, kind):
        match kind:
            case "local":
                self.check_local(message)
                # What is selected from now on is selected with these credentials.
                self.local, self.selected, self.candidates, self.states = message, None, [], []
                self.locals += 1
            case "candidate":
                self.candidates.append(message["candidate"])
            case "state":
                self.states.append(message["state"])
            case "selected":
                self.selected = message
            case "recv":
                self.received.append(base64.b64decode(message["data"]))
            case "error":
                self.errors.append(message["message"])

    def check_local(self, local):
        """RFC 8839 section 5.4: what credentials look like."""
        for name, least in (("ufrag", 4), ("pwd", 22)):
            fits = re.fullmatch(r"[A-Za-z0-9+/]{%d,256}" % least, local[name])
            expect(fits, f"{self.name}: `{name}` is {local[name]!r}")
        expect(local["role"] in ("controlling", "controlled"), f"{self.name}: `role` is {local['role']!r}")
        expect(isinstance(local["lite"], bool), f"{self.name}: `lite` is {local['lite']!r}")
        expect(local["impl"], f"{self.name} does not say what it is")
        if self.local is None:
            equal(f"`role` of {self.name}", local["role"], self.role)

    def connected(self):
        return self.selected is not None and "connected" in self.states

    def carries_data(self):
        return not self.local["impl"].startswith("Chromium")

    def is_aggressive(self):
        return self.local["impl"].startswith("aioice") or "--aggressive" in self.flags

    def send(self, data):
        self.tell("send", data=base64.b64encode(data).decode())

    def tail(self):
        said = [str(error)[:200] for error in self.errors[-3:]]
        return f"states {self.states}, selected {self.selected}, errors {said}, stderr {self.text().strip()[-300:]!r}"


@dataclasses.dataclass
class Wire:
    """How the lines of one agent get to the other."""

    keep: typing.Callable[[str], bool] = lambda _candidate: True
    """Which candidates pass; where one is kept back, so is the end of them."""
    alter: typing.Callable[[dict], dict] = lambda local: local
    """What becomes of the credentials on the way."""
    late: float = 0.0
    """For how many seconds after its credentials an agent's candidates are held back."""


NOTHING = Wire(keep=lambda _candidate: False)


def wrong_password(local):
    """The password with another last character."""
    return local | {"pwd": local["pwd"][:-1] + ("a" if local["pwd"][-1] != "a" else "b")}


CORRUPT = Wire(alter=wrong_password)


class Session:
    """Two agents with a wire from each to the other."""

    def __init__(self, left, right, left_wire=None, right_wire=None, direct=True):
        """`direct` when no NAT is between them, so that both must see the same pair."""
        self.agents, self.direct = (left, right), direct
        self.wires = {left: left_wire or Wire(), right: right_wire or Wire()}
        self.held = []
        self.selector = selectors.DefaultSelector()
        for agent in self.agents:
            self.selector.register(agent.child.stdout, selectors.EVENT_READ, agent)
        self.began = time.monotonic()

    def other(self, agent):
        return self.agents[agent is self.agents[0]]

    # --- signalling ------------------------------------------------------------------------------

    def pump(self, seconds=0.02):
        """Passes on what has come, or waits for it that long."""
        for key, _ in self.selector.select(seconds):
            for message in key.data.lines():
                self.forward(key.data, message)
            if key.data.ended:
                self.selector.unregister(key.fileobj)
                raise Fail(f"{key.data.name} has ended: {key.data.tail()}")
        while self.held and self.held[0][0] <= time.monotonic():
            _, to, message = self.held.pop(0)
            to.tell(**message)

    def forward(self, agent, message):
        wire, to = self.wires[agent], self.other(agent)
        match message["type"]:
            case "local":
                remote = wire.alter({name: message[name] for name in ("ufrag", "pwd", "lite")})
                to.tell("remote", **remote)
                return
            case "candidate" if wire.keep(message["candidate"]):
                words = {"kind": "candidate", "candidate": message["candidate"]}
            case "end-of-candidates" if all(map(wire.keep, agent.candidates)) and wire is not NOTHING:
                words = {"kind": "end-of-candidates"}
            case _:
                return
        if wire.late:
            self.held.append((time.monotonic() + wire.late, to, words))
            self.held.sort(key=lambda entry: entry[0])
        else:
            to.tell(**words)

    def until(self, condition, what, seconds=GRACE):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                states = "; ".join(f"{agent.name}: {agent.tail()}" for agent in self.agents)
                raise Fail(f"{what}: not within {seconds} s; {states}")
            self.pump()

    def rest(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(min(left, 0.02))

    # --- what is judged --------------------------------------------------------------------------

    def connect(self, seconds=GRACE):
        """Both reach `connected` with a pair, and one of them controls; in how many seconds."""
        self.until(lambda: all(agent.connected() for agent in self.agents), "a selected pair at both", seconds)
        took = time.monotonic() - self.began
        self.until(self.settled, "one who controls and the same pair at both", 5)
        return took

    def settled(self):
        """Whether they agree on who controls, and, where no NAT is between them, on the pair.

        Who nominates aggressively may stay with the first pair while the other one takes the best.
        """
        left, right = (agent.selected for agent in self.agents)
        if {left["controlling"], right["controlling"]} != {True, False}:
            return False
        if not self.direct or any(agent.selected["controlling"] and agent.is_aggressive() for agent in self.agents):
            return True
        return same(left["local"], right["remote"]) and same(left["remote"], right["local"])

    def refused(self, seconds):
        """Neither ever connects."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()
            for agent in self.agents:
                expect(not agent.connected() and agent.selected is None, f"{agent.name} has connected: {agent.tail()}")
        for agent in self.agents:
            expect(agent.local is not None, f"{agent.name} has not begun: {agent.tail()}")

    def restart(self):
        """Both begin again with other credentials and select a pair again."""
        before = {agent: agent.local for agent in self.agents}
        count = {agent: agent.locals for agent in self.agents}
        for agent in self.agents:
            agent.tell("restart")
        self.until(lambda: all(a.locals > count[a] for a in self.agents), "a `local` line of both after `restart`")
        for agent in self.agents:
            for name in ("ufrag", "pwd"):
                expect(agent.local[name] != before[agent][name], f"{agent.name} has kept its {name} over a restart")
            equal(f"how often {agent.name} said `local`", agent.locals, count[agent] + 1)
        self.began = time.monotonic()
        return self.connect()

    def exchange(self, count, window=WINDOW):
        """`count` datagrams each way, all of which arrive once and unchanged; in words."""
        if browsers := [agent for agent in self.agents if not agent.carries_data()]:
            return self.hello_of(browsers[0])
        sent, start = dict.fromkeys(self.agents, 0), {agent: len(agent.received) for agent in self.agents}
        end = time.monotonic() + GRACE + count / 200

        def arrived(agent):
            other = self.other(agent)
            return len(other.received) - start[other]

        while any(arrived(agent) < count for agent in self.agents):
            for agent in self.agents:
                while sent[agent] < count and sent[agent] - arrived(agent) < window:
                    agent.send(datagram(agent, sent[agent]))
                    sent[agent] += 1
            self.pump(0.005)
            if time.monotonic() > end:
                raise Fail("datagrams are missing: " + self.arrivals(sent, arrived))
        for agent in self.agents:
            wanted = sorted(datagram(self.other(agent), number) for number in range(count))
            got = sorted(agent.received[start[agent] :])
            expect(got == wanted, f"{agent.name} received something twice, or something that nobody sent")
        return f"{count} datagrams each way"

    def arrivals(self, sent, arrived):
        return ", ".join(f"{arrived(agent)} of {sent[agent]} from {agent.name}" for agent in self.agents)

    def exchange_over_loss(self, count, least):
        """`count` datagrams each way, one every 2 ms; at least the share `least` of them arrives."""
        if browsers := [agent for agent in self.agents if not agent.carries_data()]:
            return self.hello_of(browsers[0])
        start = {agent: len(agent.received) for agent in self.agents}
        for number in range(count):
            for agent in self.agents:
                agent.send(datagram(agent, number))
            self.rest(0.002)
        self.rest(0.5)
        seen = []
        for agent in self.agents:
            wanted = {datagram(self.other(agent), number) for number in range(count)}
            got = agent.received[start[agent] :]
            expect(set(got) <= wanted, f"{agent.name} received what nobody sent")
            expect(len(got) >= least * count, f"{len(got)} of {count} datagrams arrived at {agent.name}")
            seen.append(len(got))
        return f"{seen[1]} and {seen[0]} of {count} datagrams arrived"

    def echo(self, echoing, count):
        """What goes to an agent with `--echo` comes back from it."""
        asking = self.other(echoing)
        if not asking.carries_data():
            return self.hello_of(asking)
        start = len(asking.received)
        for number in range(count):
            asking.send(datagram(asking, number))
            self.until(lambda n=number: len(asking.received) - start > n, f"the echo of datagram {number}")
        equal("the echoes", asking.received[start:], [datagram(asking, number) for number in range(count)])
        return f"{count} datagrams echoed"

    def hello_of(self, browser):
        """A browser sends only DTLS over the pair; its first flight shows that the pair is open."""
        to = self.other(browser)
        if not to.carries_data():
            return "no data between two browsers"
        here = lambda: any(data and data[0] == DTLS_HANDSHAKE for data in to.received)  # noqa: E731
        self.until(here, "the hello of the browser's DTLS")
        return "the browser's DTLS hello arrived"

    def close(self):
        """Both end by themselves when they are told to."""
        for agent in self.agents:
            agent.tell("close")
        end = time.monotonic() + 5
        while not all(agent.ended for agent in self.agents):
            expect(time.monotonic() < end, "not ended 5 s after `close`: " + self.who(lambda agent: not agent.ended))
            for key, _ in self.selector.select(0.1):
                list(key.data.lines())
                if key.data.ended:
                    self.selector.unregister(key.fileobj)
        for agent in self.agents:
            code = agent.stop()
            equal(f"exit code of {agent.name} after `close` ({agent.text().strip()[-200:]})", code, 0)

    def who(self, condition):
        return ", ".join(agent.name for agent in self.agents if condition(agent))

    def story(self):
        """The pair as the first of the two sees it, and who the other one is."""
        left, right = self.agents
        return f"{right.local['impl']}: {left.selected['local']} ↔ {left.selected['remote']}"


def datagram(agent, number):
    """The datagram of that number: of any length up to 1,200 bytes, and different for each agent."""
    head = bytes([DATA]) + agent.child.pid.to_bytes(4) + number.to_bytes(4)
    return head + bytes((number + i) & 0xFF for i in range(number * 37 % 1192))


def host(address):
    return address.rpartition(":")[0].strip("[]")


def known(address):
    """Whether an address says where it is: a browser names its own by an mDNS name, or not at all."""
    return host(address) and not host(address).endswith(".local")


def same(ours, theirs):
    """Whether they are the same transport address, as far as is known."""
    if known(ours) and known(theirs):
        return ours == theirs
    return ours.rpartition(":")[2] == theirs.rpartition(":")[2]
