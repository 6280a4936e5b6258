"""Our port mapper against miniupnpd, the daemon that most home routers run, in front of a real nftables.

What asks is the example `map` of adapter-tokio: one process per protocol, all at the same time. What is
mapped is looked at from outside: a datagram to the address that the router names arrives inside, or not.
"""

import os
import pathlib
import re
import shutil
import signal
import tempfile
import time

from kit import procs
from kit.case import Fail, case, equal, expect, until
from kit.net import INSIDE, PUBLIC, SERVER, World
from kit.servers import ours

ROUTER = "10.78.0.1"
# A daemon maps nothing for a router whose address outside is private or meant for documentation. This one
# looks public, and nothing leaves the namespaces.
EXTERNAL = "11.22.33.44"
PORTS = {"pcp": 5001, "nat-pmp": 5002, "igd": 5003}
ANY = 5004
TOOLS = ("miniupnpd", "ss")

# What a router has beside its masquerade: nothing comes in that miniupnpd has not let in. Its chains
# are those of the package's own nft_init.sh.
CHAINS = """
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
    }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 90; jump postrouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
"""
FLUSH = "".join(f"flush chain inet filter {chain}miniupnpd\n" for chain in ("", "prerouting_", "postrouting_"))

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
allow 1024-65535 10.78.0.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class Home(World):
    """A LAN, its router with or without a daemon, and the world."""

    def __init__(self, rules=""):
        super().__init__()
        self.nat.nft(CHAINS + rules)
        self.nat.sh(f"ip addr add {EXTERNAL}/32 dev wan")
        self.server.sh(f"ip route add {EXTERNAL}/32 via {PUBLIC}")

    def rules(self):
        """The ports that lead inside, as the router's own rules have them."""
        text = procs.must(self.nat.command(["nft", "-n", "list", "chain", "inet", "filter", "prerouting_miniupnpd"]))
        return {int(port) for port in re.findall(r"\bdport (\d+) dnat ", text)}


class Daemon(procs.Process):
    """miniupnpd in the router's namespace, ready when it listens."""

    def __init__(self, home, *, datagrams=True, upnp=True, old=False, uptime=False):
        self.home, self.files = home, tempfile.mkdtemp(prefix="bradawl-interop-")
        words = {True: "yes", False: "no"}
        config = pathlib.Path(self.files, "conf")
        config.write_text(
            CONFIG.format(
                external=EXTERNAL, files=self.files, datagrams=words[datagrams], upnp=words[upnp],
                old=words[old], uptime=words[uptime],
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

    def leaves(self):
        """Ends it as its user would; how long that took."""
        begin = time.monotonic()
        code = self.stop()
        took = time.monotonic() - begin
        equal(f"{self.protocol}: exit code after {self.text().splitlines()}", code, 0)
        equal(f"{self.protocol}: its last line", self.text().splitlines()[-1], "closed")
        return took


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
    equal("ports that the router's rules let in", home.rules(), set(PORTS.values()))
    return mappers


def gone(home, mappers):
    """Ends all; what they had mapped is mapped no more."""
    took = max([mapper.leaves() for mapper in mappers])
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
            for port in home.rules():
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
    ended = max([mapper.leaves() for mapper in mappers])
    expect(ended < 4, f"took {ended:.1f} s to end")
    return f"{lines[0]} after {took:.1f} s, exit 0 {ended:.2f} s after SIGTERM"
