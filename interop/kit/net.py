"""Network namespaces and the topologies that the cases share; most use this one.

A namespace has no name: it lives as long as the `cat` that we hold in it by a pipe, so nothing
is left behind even when we are killed.

    inside 10.78.0.2 ── 10.78.0.1 nat 10.77.0.100 ── 10.77.0.1, 10.77.0.2 server 10.79.0.1 ── 10.79.0.2 open
"""

import ctypes
import os
import socket
import subprocess

from . import procs
from .case import Skip, until

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

SERVER, ALTERNATE, PUBLIC, INSIDE, OPEN = "10.77.0.1", "10.77.0.2", "10.77.0.100", "10.78.0.2", "10.79.0.2"
# IPv6 knows no NAT here: only `server` and `open` have it.
SERVER_V6, ALTERNATE_V6, OPEN_V6 = "fd79::1", "fd79::2", "fd79::9"

# What each kind of box between `inside` and `server` is in nftables.
MASQUERADE = 'chain post { type nat hook postrouting priority 100; oifname "wan" masquerade%s; }'
BLOCK = MASQUERADE.replace("masquerade", "meta l4proto udp masquerade") % " to :20000-20999 fully-random"
NO_UDP = "chain no_udp { type filter hook forward priority 0; meta l4proto udp drop; }"
FIREWALL = 'chain in { type filter hook forward priority 0; iifname "wan" ct state != established drop; }'
FORWARD = f'chain pre {{ type nat hook prerouting priority -100; iifname "wan" meta l4proto udp dnat to {INSIDE}; }}'
# A router says nothing to strangers; a refusal would take the port that the machine behind it is about to use.
SILENT = 'chain to_me { type filter hook input priority 0; iifname "wan" meta l4proto udp drop; }'
# What `tc netem` does, which not every kernel has.
LOSS = """
table inet loss {
    chain in {
        type filter hook input priority 0; meta l4proto udp numgen random mod 100 < %d drop
    }
}
"""
BOXES = {
    "netfilter": MASQUERADE % "",
    "symmetric": MASQUERADE % " fully-random",
    "random": MASQUERADE % " random",
    "block": BLOCK,
    "full-cone": MASQUERADE % "" + "\n" + FORWARD,
    "firewall": FIREWALL,
    "blocked": MASQUERADE % "" + "\n" + NO_UDP,
}


class Namespace:
    """A network namespace of its own."""

    def __init__(self):
        self.holder = procs.Process(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        self.pid = self.holder.child.pid
        ours = os.readlink("/proc/self/ns/net")
        until(5, lambda: self.holder.running() and self._link() != ours, "a network namespace")
        self.sh("ip link set lo up")

    def _link(self):
        try:
            return os.readlink(f"/proc/{self.pid}/ns/net")
        except OSError:
            return os.readlink("/proc/self/ns/net")

    def command(self, command):
        """The same command, to be run in here."""
        return ["nsenter", "--target", str(self.pid), "--net", "--", *command]

    def sh(self, script):
        return procs.must(self.command(["sh", "-ec", script]))

    def nft(self, rules):
        procs.must(self.command(["nft", "-f", "-"]), stdin=rules)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_DGRAM, protocol=0):
        """A socket of ours that lives in here: it stays where it was made."""
        with open("/proc/self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as there:
            _setns(there)
            try:
                return socket.socket(family, kind, protocol)
            finally:
                _setns(home)


class Home:
    """The namespace that we are in ourselves."""

    @staticmethod
    def command(command):
        return list(command)

    @staticmethod
    def socket(family=socket.AF_INET, kind=socket.SOCK_DGRAM):
        return socket.socket(family, kind)


HOME = Home()


def _setns(file):
    if LIBC.setns(file.fileno(), CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


class World:
    """The topology above with one kind of box in the place of `nat`."""

    def __init__(self, box="netfilter"):
        self.server, self.nat, self.inside, self.open = (Namespace() for _ in range(4))
        pair(self.server, "eth0", self.nat, "wan")
        pair(self.nat, "lan", self.inside, "eth0")
        pair(self.server, "eth1", self.open, "eth0")
        self.server.sh(
            f"ip addr add {SERVER}/24 dev eth0; ip addr add {ALTERNATE}/24 dev eth0; ip addr add 10.79.0.1/24 dev eth1;"
            "ip link set eth0 up; ip link set eth1 up"
        )
        self.nat.sh(
            f"ip addr add {PUBLIC}/24 dev wan; ip addr add 10.78.0.1/24 dev lan; ip link set wan up; ip link set lan up;"
            "echo 1 > /proc/sys/net/ipv4/ip_forward"
        )
        self.inside.sh(f"ip addr add {INSIDE}/24 dev eth0; ip link set eth0 up; ip route add default via 10.78.0.1")
        self.open.sh(f"ip addr add {OPEN}/24 dev eth0; ip link set eth0 up; ip route add default via 10.79.0.1")
        if ipv6():
            self.server.sh(f"for a in {SERVER_V6} {ALTERNATE_V6}; do ip addr add $a/64 dev eth1 nodad; done")
            self.open.sh(f"ip addr add {OPEN_V6}/64 dev eth0 nodad")
        if box == "firewall":
            self.server.sh(f"ip route add 10.78.0.0/24 via {PUBLIC}")
        self.nat.nft(f"table ip box {{\n{BOXES[box]}\n}}\n")


class Cable:
    """Two machines with a cable between them and nothing else.

    left 10.81.0.1, fd81::1 ── 10.81.0.2, fd81::2 right
    """

    V4, V6 = ("10.81.0.1", "10.81.0.2"), ("fd81::1", "fd81::2")

    def __init__(self, lost_percent=0):
        self.left, self.right = Namespace(), Namespace()
        pair(self.left, "eth0", self.right, "eth0")
        for me, space in enumerate((self.left, self.right)):
            space.sh(f"ip addr add {self.V4[me]}/24 dev eth0; ip link set eth0 up")
            if ipv6():
                space.sh(f"ip addr add {self.V6[me]}/64 dev eth0 nodad")
        for me, space in enumerate((self.left, self.right)):
            # A browser asks for the way to the Internet to find out its own addresses.
            space.sh(f"ip route add default via {self.V4[1 - me]}")
            if ipv6():
                space.sh(f"ip route add default via {self.V6[1 - me]}")
            if lost_percent:
                space.nft(LOSS % lost_percent)


class Homes:
    """Two machines, each behind a NAT router of its own, and a server between the routers.

    left 10.78.0.2 ── router 10.77.0.100 ── 10.77.0.1 server 10.87.0.1 ── 10.87.0.100 router ── 10.88.0.2 right
    """

    SERVERS, PUBLIC = (SERVER, "10.87.0.1"), (PUBLIC, "10.87.0.100")

    def __init__(self):
        self.server = Namespace()
        self.server.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.left, self.right = (self._home(side) for side in range(2))
        # Only because a browser asks for the way to the Internet to find out its own addresses.
        self.server.sh(f"ip route add default via {PUBLIC}")

    def _home(self, side):
        router, inside = Namespace(), Namespace()
        lan = f"10.{78 + 10 * side}.0"
        pair(self.server, f"eth{side}", router, "wan")
        pair(router, "lan", inside, "eth0")
        self.server.sh(f"ip addr add {self.SERVERS[side]}/24 dev eth{side}; ip link set eth{side} up")
        router.sh(
            f"ip addr add {self.PUBLIC[side]}/24 dev wan; ip addr add {lan}.1/24 dev lan; ip link set wan up;"
            f"ip link set lan up; ip route add default via {self.SERVERS[side]}; echo 1 > /proc/sys/net/ipv4/ip_forward"
        )
        inside.sh(f"ip addr add {lan}.2/24 dev eth0; ip link set eth0 up; ip route add default via {lan}.1")
        router.nft(f"table ip box {{\n{MASQUERADE % ''}\n{FIREWALL}\n{SILENT}\n}}\n")
        return inside


def pair(left, left_name, right, right_name):
    """A cable between two namespaces."""
    left.sh(f"ip link add {left_name} type veth peer name {right_name} netns {right.pid}")


def ipv6():
    """Whether this kernel speaks IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def need_ipv6():
    if not ipv6():
        raise Skip("no IPv6 on the loopback interface")


def free_port(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def at(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
