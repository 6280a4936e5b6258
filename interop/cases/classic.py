"""Debian's `stun`, which speaks RFC 3489: no magic cookie, MAPPED-ADDRESS, CHANGED-ADDRESS."""

import re

from kit import net, procs
from kit.case import case, equal, expect
from kit.net import ALTERNATE, HOME, SERVER, World
from kit.servers import Coturn, Mediator

BLOCKED = "Blocked or could not reach STUN server"
OPEN = "Open"
CONE = "Independent Mapping, Port Dependent Filter, preserves ports, no hairpin"
FULL_CONE = "Independent Mapping, Independent Filter, preserves ports, no hairpin"
SYMMETRIC = "Dependent Mapping, random port, no hairpin"


def verdict(text):
    """What the tool calls the network it is in."""
    found = re.search(r"^Primary: (.*)$", text, re.MULTILINE)
    expect(found, f"no verdict: {text.strip()[-200:]!r}")
    return found[1].strip()


def classify(box, inside, flags):
    """The verdict against our server and against coturn's, each in a world of its own."""
    commands = []
    for server, extra in ((Mediator, {"flags": flags}), (Coturn, {})):
        world = World(box)
        server([SERVER], 3478, alternate=(ALTERNATE, 3479), where=world.server, **extra)
        client = world.inside if inside else world.open
        commands.append(client.command(["stun", f"{SERVER}:3478"]))
    return map(verdict, procs.run_beside(commands, seconds=60))


def classic(name, box, inside, wanted):
    @case(f"classic-{name}", "stun", "turnserver", seconds=90, namespace=True)
    def answered():
        ours, theirs = classify(box, inside, ["--classic"])
        equal("against our mediator", ours, wanted)
        equal("against coturn's server", theirs, wanted)
        return f"stun: {wanted} (and so with coturn's server)"


classic("open", "netfilter", False, OPEN)
classic("full-cone", "full-cone", True, FULL_CONE)
classic("netfilter", "netfilter", True, CONE)
classic("symmetric", "symmetric", True, SYMMETRIC)


@case("classic-off", "stun", seconds=90)
def unanswered():
    """Without the flag nothing without the cookie is answered."""
    port = net.free_port("127.0.0.1")
    Mediator(["127.0.0.1"], port)
    _, out, err = procs.run(HOME.command(["stun", f"127.0.0.1:{port}"]), seconds=60)
    equal("verdict", verdict(out + err), BLOCKED)
    return f"stun, without --classic: {BLOCKED}"


@case("classic-mapped-address", "stun")
def mapped():
    """Test I of RFC 3489 asks for nothing to change: answered without a second address, too."""
    port, local = net.free_port("127.0.0.1"), net.free_port("127.0.0.1")
    Mediator(["127.0.0.1"], port, flags=["--classic"])
    _, out, err = procs.run(HOME.command(["stun", f"127.0.0.1:{port}", "1", "-v", "-p", str(local)]))
    found = re.search(r"mappedAddr=(\S+)", out + err)
    expect(found, f"no mapped address: {(out + err).strip()[-200:]!r}")
    equal("mapped address", found[1], f"127.0.0.1:{local}")
    return f"stun, test I: mappedAddr={found[1]}"
