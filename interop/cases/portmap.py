"""Our port mapper against miniupnpd, the daemon that most home routers run, in front of a real nftables.

What asks is the example `map` of adapter-tokio: one process per protocol, all at the same time. What is
mapped is looked at from outside: a datagram to the address that the router names arrives inside, or not.
"""

import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time

from kit import procs
from kit.case import Fail, case, equal, expect, until
from kit.net import ALTERNATE, INSIDE, PUBLIC, SERVER, World
from kit.servers import Mediator, ours

from .check import check

ROUTER = "10.78.0.1"
# A daemon maps nothing for a router whose address outside is private or meant for documentation. This one
# looks public, and nothing leaves the namespaces.
EXTERNAL = "11.22.33.44"
PORTS = {"pcp": 5001, "nat-pmp": 5002, "igd": 5003}
ANY = 5004
TOOLS = ("miniupnpd", "ss")

# What a router has: an address outside, and nothing comes in that miniupnpd has not let in. Its chains are
# those of the package's own nft_init.sh.
CHAINS = """
table inet filter {{
    chain forward {{
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
    }}
    chain miniupnpd {{ }}
    chain prerouting {{ type nat hook prerouting priority -100; jump prerouting_miniupnpd; }}
    chain postrouting {{
        type nat hook postrouting priority 90;
        jump postrouting_miniupnpd
        oifname "wan" snat ip to {external}{flags}
    }}
    chain prerouting_miniupnpd {{ }}
    chain postrouting_miniupnpd {{ }}
}}
"""
FLUSH = "".join(f"flush chain inet filter {chain}miniupnpd\n" for chain in ("", "prerouting_", "postrouting_"))

ALLOW = "allow 1024-65535 10.78.0.0/24 1024-65535"
CONFIG = """
ext_ifname=wan
ext_ip={external}
listening_ip=lan
ipv6_disable=yes
enable_natpmp={datagrams}
enable_upnp={upnp}
min_lifetime=16
secure_mode=yes
system_uptime={uptime}
notify_interval=60
lease_file={files}/leases
upnp_table_name=filter
upnp_nat_table_name=filter
uuid=6d2f5f6c-0b7e-4c0f-9f0e-5d8a3c1e7b42
force_igd_desc_v1={old}
{allow}
deny 0-65535 0.0.0.0/0 0-65535
"""


class Home(World):
    """A LAN, its router with or without a daemon, and the world."""

    def __init__(self, rules="", flags=""):
        super().__init__()
        self.nat.nft(CHAINS.format(external=EXTERNAL, flags=flags) + rules)
        self.nat.sh(f"ip addr add {EXTERNAL}/32 dev wan")
        self.server.sh(f"ip route add {EXTERNAL}/32 via {PUBLIC}")

    def rules(self, combine=set.union):
        """The ports of the router's own rules: of those that lead inside and those that let pass, any or both."""
        found = []
        for chain in ("prerouting_miniupnpd", "miniupnpd"):
            text = procs.must(self.nat.command(["nft", "-n", "list", "chain", "inet", "filter", chain]))
            found.append({int(port) for port in re.findall(r"\bdport (\d+) ", text)})
        return combine(*found)


class Daemon(procs.Process):
    """miniupnpd in the router's namespace, ready when it listens."""

    def __init__(self, home, *, datagrams=True, upnp=True, old=False, uptime=False, allow=ALLOW):
        self.home, self.files = home, tempfile.mkdtemp(prefix="bradawl-interop-")
        words = {True: "yes", False: "no"}
        config = pathlib.Path(self.files, "conf")
        config.write_text(
            CONFIG.format(
                external=EXTERNAL, files=self.files, datagrams=words[datagrams], upnp=words[upnp],
                old=words[old], uptime=words[uptime], allow=allow,
            )
        )  # fmt: skip
        command = ["miniupnpd", "-d", "-f", str(config), "-P", f"{self.files}/pid"]
        super().__init__(home.nat.command(command))
        ports = {5351} if datagrams else set()
        ports |= {1900} if upnp else set()
        until(5, lambda: self._listens(ports), "miniupnpd to listen")

    def _listens(self, ports):
        expect(self.running(), f"miniupnpd ended at once: {self.text().strip()[-300:]}")
        bound = procs.must(self.home.nat.command(["ss", "-Hlun"]))
        return all(re.search(rf":{port}\s", bound) for port in ports)

    def stop(self, *args, **kwargs):
        code = super().stop(*args, **kwargs)
        shutil.rmtree(self.files, ignore_errors=True)
        return code

    def crash(self):
        """Killed, and everything that it knew is gone."""
        self.stop(signal.SIGKILL)
        self.home.nat.nft(FLUSH)


class Mapper(procs.Process):
    """The example `map`, and its port inside, on which somebody listens."""

    def __init__(self, home, protocol, *flags):
        self.home, self.protocol, self.port = home, protocol, PORTS.get(protocol, ANY)
        self.listener = home.inside.socket()
        self.listener.bind((INSIDE, self.port))
        self.listener.settimeout(0.3)
        command = [ours("examples/map"), "--port", str(self.port), "--protocol", protocol, *flags]
        super().__init__(home.inside.command(command))

    def lines(self, word):
        return [line for line in self.text().splitlines() if line.startswith(word)]

    def waits(self, word, seconds, count=1):
        """Until it has said that so often: the last such line."""
        try:
            return until(seconds, lambda: self._said(word, count), f"{self.protocol}: {count} times `{word}`")
        except Fail as why:
            raise Fail(f"{why}; it said {self.text().splitlines()}") from None

    def _said(self, word, count):
        expect(self.running(), f"{self.protocol}: ended by itself: {self.text()!r}")
        lines = self.lines(word)
        return lines[-1] if len(lines) >= count else None

    def external(self):
        """Where it says that the world finds us: (host, port)."""
        host, port = re.search(r" (\S+):(\d+) for ", self.lines("mapped")[-1]).groups()
        equal(f"{self.protocol}: address outside", host, EXTERNAL)
        return host, int(port)

    def hears(self):
        """Whether a datagram from outside arrives inside, with the sender that it has."""
        token = os.urandom(8)
        with self.home.server.socket() as outside:
            outside.bind((SERVER, 0))
            outside.sendto(token, self.external())
            try:
                data, source = self.listener.recvfrom(100)
            except TimeoutError:
                return False
            equal(f"{self.protocol}: what arrived, and from where", (data, source), (token, outside.getsockname()))
        return True



def all_three(home, **lifetimes):
    """One mapper for each protocol, each with its mapping, which works."""
    mappers = []
    for protocol in PORTS:
        lifetime = lifetimes.get(protocol.replace("-", "_"), lifetimes.get("lifetime", 120))
        mappers.append(Mapper(home, protocol, "--lifetime", str(lifetime), "--watch", "10"))
    for mapper in mappers:
        line = mapper.waits("mapped", 5)
        expect(line.startswith(f"mapped {mapper.protocol} {EXTERNAL}:"), line)
        expect(mapper.hears(), f"{mapper.protocol}: nothing arrives inside though it said: {line}")
    equal("ports that the router's rules let in", home.rules(set.intersection), set(PORTS.values()))
    return mappers


def leave(mappers):
    """Ends all as their users would; how long that took."""
    begin = time.monotonic()
    for mapper in mappers:
        mapper.child.send_signal(signal.SIGTERM)
    for mapper in mappers:
        until(5, lambda mapper=mapper: not mapper.running(), f"{mapper.protocol}: its end after SIGTERM")
        equal(f"{mapper.protocol}: exit code after {mapper.text().splitlines()}", mapper.stop(), 0)
        equal(f"{mapper.protocol}: its last line", mapper.text().splitlines()[-1], "closed")
    return time.monotonic() - begin


def gone(home, mappers):
    """Ends all; what they had mapped is mapped no more."""
    took = leave(mappers)
    equal("ports that the router's rules still let in", home.rules(), set())
    for mapper in mappers:
        expect(not mapper.hears(), f"{mapper.protocol}: a datagram still arrives after the end")
    return f"unmapped {took:.2f} s after SIGTERM"


@case("portmap-maps", *TOOLS, namespace=True)
def maps():
    home = Home()
    Daemon(home)
    begin = time.monotonic()
    mappers = all_three(home)
    took = time.monotonic() - begin
    return f"pcp, nat-pmp and igd are mapped and let in {took:.2f} s after their start, {gone(home, mappers)}"


@case("portmap-best", *TOOLS, namespace=True)
def best():
    """Who may use any protocol takes the best that the router has; an old gateway is IGD, too."""
    seen = []
    for wanted, options in {"pcp": {}, "igd": {"datagrams": False, "old": True}}.items():
        home = Home()
        Daemon(home, **options)
        mapper = Mapper(home, "any")
        line = mapper.waits("mapped", 5)
        equal("protocol", line.split()[1], wanted)
        expect(mapper.hears(), f"nothing arrives inside though it said: {line}")
        seen.append(line)
        gone(home, [mapper])
    return f"{seen[0]}; of a router without PCP and with IGD 1: {seen[1]}"


@case("portmap-renews", *TOOLS, namespace=True)
def renews():
    """Two renewals of 16 s each: a mapping that was not really renewed would have run out by then."""
    home = Home()
    Daemon(home)
    mappers = all_three(home, lifetime=16)
    begin = time.monotonic()
    for mapper in mappers:
        mapper.waits("renewed", 25, count=2)
    time.sleep(max(0.0, begin + 17 - time.monotonic()))
    for mapper in mappers:
        expect(mapper.hears(), f"{mapper.protocol}: nothing arrives after the renewals")
        equal(f"{mapper.protocol}: lines `lost`, `changed`", mapper.lines("lost") + mapper.lines("changed"), [])
    return f"alive {time.monotonic() - begin:.0f} s after leases of 16 s, {gone(home, mappers)}"


def restart(name, runs, bound, uptime, **lifetimes):
    @case(name, *TOOLS, namespace=True)
    def after_restart():
        home = Home()
        daemon = Daemon(home, uptime=uptime)
        mappers = all_three(home, **lifetimes)
        time.sleep(runs)
        daemon.crash()
        Daemon(home, uptime=uptime)
        begin = time.monotonic()
        back = {}

        def are_back():
            # The daemon writes one rule after the other.
            for port in home.rules(set.intersection):
                back.setdefault(port, time.monotonic() - begin)
            return set(back) >= set(PORTS.values())

        equal("ports that the router lets in after its restart", home.rules(), set())
        try:
            until(bound, are_back, "all mapped again")
        except Fail as why:
            said = [mapper.text().splitlines() for mapper in mappers]
            raise Fail(f"{why}, but {sorted(back)}; they said {said}") from None
        for mapper in mappers:
            expect(mapper.hears(), f"{mapper.protocol}: mapped again, and nothing arrives")
            equal(f"{mapper.protocol}: lines `lost`, `changed`", mapper.lines("lost") + mapper.lines("changed"), [])
        times = ", ".join(f"{protocol} {back[port]:.1f} s" for protocol, port in PORTS.items())
        return f"back after kill -9: {times}; {gone(home, mappers)}"


# It has to have run for longer than by how much clocks may differ (RFC 6887 §8.5, RFC 6886 §3.6).
restart("portmap-restart", 7, 12, False, lifetime=120, igd=16)
# Debian's own configuration tells the uptime of the system instead: then the next renewal finds out.
restart("portmap-restart-unseen", 0, 12, True, lifetime=16)


@case("portmap-silent", "nft", namespace=True)
def silent():
    """A router without a daemon, which says so by ICMP or, behind a firewall, nothing at all."""
    drop = "table inet wall { chain in { type filter hook input priority 0; meta l4proto { tcp, udp } drop; }; }\n"
    begin = time.monotonic()
    mappers = [Mapper(Home(rules), "any") for rules in ("", drop)]
    lines = [mapper.waits("failed", 16) for mapper in mappers]
    took = time.monotonic() - begin
    expect(took > 11, f"given up after {took:.1f} s")
    equal("what it says", lines, ["failed: no router answers"] * 2)
    ended = leave(mappers)
    expect(ended < 4, f"took {ended:.1f} s to end")
    return f"{lines[0]} after {took:.1f} s, exit 0 {ended:.2f} s after SIGTERM"


class Liar:
    """A router's daemon that answers whatever it is asked with what nobody should believe."""

    HTTP = 49152

    def __init__(self, home):
        self.random, self.count, self.described, self.over = random.Random(1), 0, 0, threading.Event()
        self.datagrams = home.nat.socket()
        self.datagrams.bind((ROUTER, 5351))
        self.search = home.nat.socket()
        self.search.bind(("", 1900))
        group = socket.inet_aton("239.255.255.250") + socket.inet_aton(ROUTER)
        self.search.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        self.gateway = home.nat.socket(kind=socket.SOCK_STREAM)
        self.gateway.bind((ROUTER, self.HTTP))
        self.gateway.listen(50)
        # Nobody should ever come here, wherever a router says that it is described.
        self.elsewhere = home.server.socket(kind=socket.SOCK_STREAM)
        self.elsewhere.bind((SERVER, 80))
        self.elsewhere.listen()
        self.elsewhere.setblocking(False)
        self.threads = [threading.Thread(target=work) for work in (self._map, self._find, self._describe)]
        for each in (self.datagrams, self.search, self.gateway):
            each.settimeout(0.2)
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def was_followed(self):
        """Whether anybody came to where a router is not."""
        try:
            self.elsewhere.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def _each(self, receive):
        while not self.over.is_set():
            try:
                yield receive()
            except TimeoutError:
                continue

    def _map(self):
        for request, client in self._each(lambda: self.datagrams.recvfrom(2000)):
            for answer in self._lies(request):
                self.count += 1
                self.datagrams.sendto(answer, client)

    def _lies(self, request):
        """Noise, pieces, and answers that are right but for one thing."""
        yield b""
        for size in (1, 3, 4, 12, 24, 60, 1100, 1400):
            yield self.random.randbytes(size)
        answer = bytes([request[0], request[1] | 0x80]) + request[2:]
        yield request
        for size in range(0, len(answer), 3):
            yield answer[:size]
        if len(request) == 60:
            granted = struct.pack(">BBBBII12x", 2, 0x81, 0, 0, 0xFFFFFFFF, 1) + request[24:42]
            for port, ip in ((0, "11.22.33.44"), (5000, "0.0.0.0"), (5000, "239.1.1.1"), (5000, "127.0.0.1")):
                yield granted + struct.pack(">H10xH", port, 0xFFFF) + socket.inet_aton(ip)
            another = granted[:24] + self.random.randbytes(12) + granted[36:]
            yield another + struct.pack(">H10xH", 5000, 0xFFFF) + socket.inet_aton("11.22.33.44")
        elif len(request) == 12:
            yield struct.pack(">BBHIHHI", 0, 0x81, 0, 1, 5000, 0, 3600)
            yield struct.pack(">BBHIHHI", 0, 0x81, 0, 1, 9999, 5000, 3600)
            yield struct.pack(">BBHIHHI", 0, 0x81, 0, 1, 5000, 5000, 0)
        else:
            yield struct.pack(">BBHI4s", 0, 0x80, 0, 1, b"\xff\xff\xff\xff")

    def _find(self):
        here = f"http://{ROUTER}:{self.HTTP}"
        locations = [f"http://{SERVER}/root.xml", "http://", f"{here}/{'x' * 1900}", "\x00\xff"]
        locations += [f"{here}/{number}.xml" for number in range(9)]
        for request, client in self._each(lambda: self.search.recvfrom(2000)):
            target = re.search(r"\nST: (\S+)", request.decode())[1]
            for location in locations:
                text = f"HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: {location}\r\n\r\n"
                self.count += 1
                self.search.sendto(text.encode("latin-1"), client)
            self.search.sendto(self.random.randbytes(1400), client)

    def _describe(self):
        bodies = itertools.cycle(
            [
                self.random.randbytes(200_000),
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n<root>",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                b"HTTP/1.1 200 OK\r\n\r\n" + b"<a>" * 100_000,
                b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
            ]
        )
        for (connection, _), body in zip(self._each(self.gateway.accept), bodies, strict=False):
            self.count += 1
            self.described += 1
            with connection:
                connection.settimeout(1)
                try:
                    connection.recv(5000)
                    connection.sendall(body)
                except OSError:  # it has heard enough
                    pass


@case("portmap-hostile", namespace=True)
def hostile():
    home = Home()
    liar = Liar(home)
    try:
        mappers = [Mapper(home, protocol) for protocol in (*PORTS, "any")]
        before = [resident(mapper) for mapper in mappers]
        time.sleep(6)
        for mapper, memory in zip(mappers, before, strict=True):
            expect(mapper.running(), f"{mapper.protocol}: ended by itself: {mapper.text()!r}")
            equal(f"{mapper.protocol}: lines `mapped`", mapper.lines("mapped"), [])
            grown = resident(mapper) - memory
            expect(grown < 8_000, f"{mapper.protocol}: {grown} KiB more than at its start")
        took = leave(mappers)
        expect(took < 4, f"took {took:.1f} s to end")
        expect(not liar.was_followed(), f"somebody connected to {SERVER}, where no router is")
        expect(liar.count > 500, f"only {liar.count} lies were told")
        expect(liar.described > 0, "nobody asked for a description")
    finally:
        liar.stop()
    said = {line for mapper in mappers for line in mapper.lines("failed")}
    return f"{liar.count} lies, {liar.described} of them by HTTP, believed by nobody; exit 0 {took:.1f} s after SIGTERM; {', '.join(sorted(said))}"


def resident(process):
    """How much memory it has, in KiB."""
    status = pathlib.Path(f"/proc/{process.child.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def looked_at(home):
    """What `bradawl-peer check` says of the NAT, and how long it took."""
    Mediator([SERVER], 3478, alternate=(ALTERNATE, 3479), where=home.server)
    begin = time.monotonic()
    code, events, err = check(home.inside, f"{SERVER}:3478")
    took = time.monotonic() - begin
    equal(f"exit code ({err.strip()})", code, 0)
    equal("ports that the router's rules still let in", home.rules(), set())
    return events[-1], took


def seen_by_check(name, wanted, flags="", label="port-restricted", **options):
    @case(name, *TOOLS, namespace=True)
    def seen():
        home = Home(flags=flags)
        daemon = Daemon(home, **options)
        nat, took = looked_at(home)
        host, _, port = nat["port_mapping"]["external"].rpartition(":")
        found = {**nat["port_mapping"], "external": host}
        equal("`port_mapping`", found, {"protocol": wanted, "external": EXTERNAL, "reason": None})
        # What the router does with the socket that is looked at is what is to be found out.
        expect(port != nat["local"].rpartition(":")[2], "it is the port of the socket that was looked at")
        # A port that the router opens must not make the NAT look better than it is.
        equal("`label`", nat["label"], label)
        equal("`carrier`", nat["carrier"], False)
        equal("outlook with `symmetric`", nat["forecast"]["symmetric"]["outlook"], "direct")
        expect("map-ports" not in nat["hints"], f"`hints` are {nat['hints']}")
        expect(daemon.running(), "miniupnpd has ended")
        return f"{nat['label']}, {wanted} opens {host}:{port} and closes it again; {took:.1f} s"


seen_by_check("portmap-check-pcp", "pcp")
seen_by_check("portmap-check-igd", "upnp-igd", datagrams=False)
seen_by_check("portmap-check-symmetric", "pcp", flags=" fully-random", label="symmetric")


@case("portmap-check-none", *TOOLS, namespace=True)
def check_none():
    """A router without a daemon, and one whose daemon may not."""
    seen = []
    for reason, daemon in {"no-answer": False, "not-authorized": True}.items():
        home = Home()
        if daemon:
            # By IGD 1, where it looks at the port that was asked for and not, for seconds, at all the others.
            Daemon(home, datagrams=False, old=True, allow="")
        nat, took = looked_at(home)
        equal("`port_mapping`", nat["port_mapping"], {"protocol": None, "external": None, "reason": reason})
        expect("map-ports" in nat["hints"], f"`hints` are {nat['hints']}")
        expect(took < 4, f"took {took:.1f} s")
        seen.append(f"{reason} after {took:.1f} s")
    return ", ".join(seen)
