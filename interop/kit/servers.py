"""The two servers under the same tools: our mediator and coturn."""

import json
import os
import pathlib
import tempfile

from . import procs, stun
from .case import Fail, expect, until
from .net import HOME, at


def ours(name):
    """The path of one of our binaries."""
    path = pathlib.Path(os.environ["BRADAWL_BIN_DIR"], name)
    if not path.exists():
        raise Fail(f"{name} is not in BRADAWL_BIN_DIR")
    return str(path)


class Mediator(procs.Process):
    """`bradawl-mediator serve`, ready when it says so."""

    title = "bradawl"

    def __init__(self, hosts, port, alternate=None, where=HOME, flags=()):
        command = [ours("bradawl-mediator"), "serve", "--json", *flags]
        for host in hosts:
            command += ["--listen", at(host, port)]
        if alternate:
            command += ["--alternate", at(*alternate)]
        super().__init__(where.command(command))
        self.addresses = until(10, self._ready, "`ready` from bradawl-mediator")
        for host in hosts:
            expect(at(host, port) in self.addresses, f"`ready` names {self.addresses}, not {at(host, port)}")

    def event(self, name):
        """The event of that name that it has printed, if it has."""
        for line in self.text().splitlines():
            if line.startswith("{") and (event := json.loads(line)).get("event") == name:
                expect(event["v"] == 1, f"`v` is {event['v']}")
                return event
        return None

    def _ready(self):
        expect(self.running(), f"bradawl-mediator ended at once: {self.text().strip()[-300:]}")
        ready = self.event("ready")
        return ready and ready["udp"]

    def dropped(self):
        """Stops it; what it has not answered, by reason."""
        code = self.stop()
        expect(code == 0, f"exit code {code} after SIGTERM: {self.text().strip()[-300:]}")
        stopped = self.event("stopped")
        expect(stopped, "no event `stopped`")
        return stopped["dropped"]


class Coturn(procs.Process):
    """coturn's server as a STUN server, ready when it answers; a TURN server as well for who has a user."""

    title = "coturn"

    def __init__(self, hosts, port, alternate=None, where=HOME, user=None):
        database = tempfile.mkdtemp(prefix="bradawl-interop-")
        self.files = database
        command = ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls"]
        command += ["--lt-cred-mech", "-r", "interop", "-u", ":".join(user)] if user else ["-S", "--no-tcp", "--no-auth"]
        command += ["--log-file", "stdout", "--pidfile", f"{database}/pid", "--userdb", f"{database}/db"]
        command += ["-p", str(port)]
        for host in hosts:
            command += ["-L", host]
        if alternate:
            command += ["-L", alternate[0], "--alt-listening-port", str(alternate[1])]
            # Since 4.7 the discovery of RFC 5780 has to be asked for.
            if " --rfc5780" in procs.run(["turnserver", "--help"])[1]:
                command.append("--rfc5780")
        super().__init__(where.command(command))
        for host in hosts:
            until(10, lambda host=host: self._answers(where, host, port), f"an answer of coturn at {at(host, port)}")

    def _answers(self, where, host, port):
        expect(self.running(), f"turnserver ended at once: {self.text().strip()[-300:]}")
        return stun.ask(where, host, port, stun.message(), 0.1)[1]

    def stop(self, *args, **kwargs):
        code = super().stop(*args, **kwargs)
        for name in ("pid", "db"):
            pathlib.Path(self.files, name).unlink(missing_ok=True)
        pathlib.Path(self.files).rmdir()
        return code
