"""The ICE agent of aioice as a peer that speaks the lines of `bradawl-peer ice`.

aioice gathers all at once, nominates aggressively, and knows no restart: a restart is a second
connection, and the first one is kept until the second has a pair.
"""

import asyncio
import base64
import importlib.metadata
import ipaddress
import sys

import aioice
from protocol import at, emit, flags, parse

IMPL = f"aioice {importlib.metadata.version('aioice')}"
WATCH_EVERY = 0.02


class Peer:
    def __init__(self, options):
        self.options = options
        self.controlling = options.role == "controlling"
        self.connection = None
        self.sending = None
        self.tasks = set()

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def begin(self):
        """A new connection, and everything that the other side has to know about it."""
        options = self.options
        self.connection = aioice.Connection(
            ice_controlling=self.controlling,
            stun_server=options.stun,
            turn_server=options.turn,
            turn_username=options.turn_user,
            turn_password=options.turn_pass,
            turn_transport=options.turn_transport,
            transport_policy=aioice.TransportPolicy.RELAY if options.relay_only else aioice.TransportPolicy.ALL,
        )
        emit(
            "local",
            ufrag=self.connection.local_username,
            pwd=self.connection.local_password,
            role="controlling" if self.controlling else "controlled",
            lite=False,
            impl=IMPL,
        )
        await self.connection.gather_candidates()
        for candidate in self.connection.local_candidates:
            emit("candidate", candidate=f"candidate:{candidate.to_sdp()}")
        emit("end-of-candidates")

    async def connect(self, connection):
        emit("state", state="checking")
        try:
            await connection.connect()
        except ConnectionError:
            if connection is self.connection:
                emit("state", state="failed")
            return
        old, self.sending = self.sending, connection
        self.controlling = connection.ice_controlling
        emit("state", state="connected")
        self.spawn(self.watch(connection))
        self.spawn(self.receive(connection))
        if old:
            await old.close()

    async def watch(self, connection):
        """Aggressive nomination may change the pair at any time, and aioice does not say so."""
        before = None
        while connection is self.sending and not connection._closed:
            pair = connection._nominated.get(1)
            if pair is not None and pair is not before:
                emit(
                    "selected",
                    local=at(pair.local_candidate.host, pair.local_candidate.port),
                    remote=at(*pair.remote_addr),
                    controlling=connection.ice_controlling,
                )
                before = pair
            await asyncio.sleep(WATCH_EVERY)

    async def receive(self, connection):
        try:
            while True:
                data = await connection.recv()
                emit("recv", data=base64.b64encode(data).decode())
                if self.options.echo:
                    await connection.send(data)
        except ConnectionError:
            if connection is self.connection:
                emit("state", state="closed")

    async def use(self, message):
        """Does what a line says; False at the last one."""
        match message["type"]:
            case "remote":
                connection = self.connection
                connection.remote_username, connection.remote_password = message["ufrag"], message["pwd"]
                connection.remote_is_lite = bool(message.get("lite"))
                self.spawn(self.connect(connection))
            case "candidate":
                text = message["candidate"].removeprefix("candidate:")
                # An mDNS name takes its time to be resolved.
                self.spawn(self.connection.add_remote_candidate(aioice.Candidate.from_sdp(text)))
            case "end-of-candidates":
                await asyncio.sleep(0)
                await self.connection.add_remote_candidate(None)
            case "send":
                if self.sending is None:
                    raise ValueError("there is no pair yet")
                await self.sending.send(base64.b64decode(message["data"], validate=True))
            case "restart":
                await self.begin()
            case "close":
                return False
            case other:
                raise ValueError(f"no line is called {other}")
        return True

    async def run(self):
        lines = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        await self.begin()
        while line := await lines.readline():
            try:
                if not await self.use(parse(line)):
                    break
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, ConnectionError) as error:
                emit("error", message=f"{type(error).__name__}: {error}")
        for connection in {self.connection, self.sending} - {None}:
            await connection.close()


def main():
    options = flags()
    if options.bind:
        # aioice takes every address but the loopback ones; here the flag says which.
        chosen = [str(ipaddress.ip_address(bind)) for bind in options.bind]
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: chosen
    asyncio.run(Peer(options).run())


if __name__ == "__main__":
    main()
