"""What `bradawl-peer check` says of each kind of NAT that nftables can make, beside what coturn's
`turnutils_natdiscovery` says in the same place. Mapping and filtering must agree: both are RFC 5780.

The server is coturn's, on two addresses, so that nothing here is ours but the client.
"""

import re

from kit import procs
from kit.case import case, equal, expect
from kit.net import ALTERNATE, INSIDE, OPEN, PUBLIC, SERVER, World
from kit.servers import Coturn, Mediator

from .check import check
from .coturn_tools import conclusions

TOOLS = ("turnutils_natdiscovery", "turnserver")

# What the tool calls what DESIGN §9 calls.
NAMES = {
    "Endpoint Independent": "endpoint-independent",
    "Address Dependent": "address-dependent",
    "Address and Port Dependent": "address-and-port-dependent",
}


def theirs(space, client):
    """Mapping and filtering as coturn's tool sees them."""
    command = ["turnutils_natdiscovery", "-m", "-f", "-p", "3478", "-L", client, SERVER]
    _, out, err = procs.run(space.command(command), seconds=50)
    text = " ".join(conclusions(out + err))
    found = {}
    for axis in ("Mapping", "Filtering"):
        match = re.search(rf"NAT with ({'|'.join(NAMES)}) {axis}", text)
        expect(match, f"the tool says nothing of {axis.lower()}: {text!r}")
        found[axis.lower()] = NAMES[match[1]]
    return found


def ours(space, *servers):
    """The `nat` event."""
    code, events, err = check(space, *servers)
    equal(f"exit code ({err.strip()})", code, 0)
    [nat] = [event for event in events if event["event"] == "nat"]
    return nat


def nat(name, box, client=INSIDE, server=Coturn, public=PUBLIC, **wanted):
    @case(f"nat-{name}", *TOOLS, seconds=90, namespace=True)
    def behind():
        world = World(box)
        server([SERVER], 3478, alternate=(ALTERNATE, 3479), where=world.server)
        space = world.inside if client == INSIDE else world.open
        seen = ours(space, f"{SERVER}:3478")
        # One after the other, and from other ports: what one has opened is not open for the other.
        tool = theirs(space, client)
        for axis, value in tool.items():
            equal(f"{axis}, as coturn's tool sees it,", seen[axis], value)
        for field, value in wanted.items():
            equal(f"`{field}`", seen[field], value)
        equal("`public`", seen["public"], [public])
        equal("`translated`", seen["translated"], public == PUBLIC)
        sure = seen["confidences"]
        return (
            f"{seen['label']} ({seen['confidence']}): mapping {seen['mapping']} ({sure['mapping']}), "
            f"filtering {seen['filtering']} ({sure['filtering']}), {seen['allocation']} ports, as coturn's tool says"
        )


nat("open", "netfilter", OPEN, public=OPEN, label="open")
nat("firewall", "firewall", public=INSIDE, label="port-restricted")
nat("full-cone", "full-cone", label="full cone", allocation="preserving")
nat("masquerade", "netfilter", label="port-restricted", allocation="preserving")
nat("random", "random", label="symmetric", allocation="random")
nat("fully-random", "symmetric", label="symmetric", allocation="random")
nat("block", "block", label="symmetric", allocation="block")
nat("masquerade-mediator", "netfilter", server=Mediator, label="port-restricted")
nat("fully-random-mediator", "symmetric", server=Mediator, label="symmetric", allocation="random")


@case("nat-two-servers", "turnserver", namespace=True)
def two_servers():
    """Two servers with one address each: enough to see that peers see different ports."""
    world = World("symmetric")
    Coturn([SERVER], 3478, where=world.server)
    Mediator([ALTERNATE], 3478, where=world.server)
    seen = ours(world.inside, f"{SERVER}:3478", f"{ALTERNATE}:3478")
    expect(seen["mapping"] != NAMES["Endpoint Independent"], f"`mapping` is {seen['mapping']}")
    expect(len(set(seen["mapped"])) >= 2, f"`mapped` is {seen['mapped']}")
    expect("keep-mapping" in seen["hints"], f"`hints` are {seen['hints']}")
    equal("outlook with `home`", seen["forecast"]["home"]["outlook"], "likely")
    return f"seen at {' and '.join(seen['mapped'])}: mapping {seen['mapping']}, filtering {seen['filtering']}"


def one_address(name, box, **wanted):
    @case(f"nat-one-address-{name}", namespace=True)
    def behind():
        """Our mediator as it is without any option: one address, two ports."""
        world = World(box)
        Mediator([SERVER], 3478, where=world.server)
        seen = ours(world.inside, f"{SERVER}:3478")
        for field, value in wanted.items():
            equal(f"`{field}`", seen[field], value)
        return f"mapping {seen['mapping']}, filtering {seen['filtering']}, {seen['allocation']} ports"


# What one address cannot tell stays unknown, and what it can tell is right.
one_address("masquerade", "netfilter", mapping=None, filtering="address-and-port-dependent")
one_address("full-cone", "full-cone", mapping=None, filtering=None)
one_address("fully-random", "symmetric", mapping="address-and-port-dependent", label="symmetric")


@case("nat-blocked", seconds=90, namespace=True)
def blocked():
    """No UDP gets through: with two servers silent that is more than a guess."""
    world = World("blocked")
    Mediator([SERVER, ALTERNATE], 3478, where=world.server)
    code, events, _ = check(world.inside, f"{SERVER}:3478", f"{ALTERNATE}:3478")
    equal("exit code", code, 3)
    seen = events[-1]
    equal("event, label, udp", [seen[name] for name in ("event", "label", "udp")], ["nat", "blocked", False])
    equal("forecasts", {forecast["outlook"] for forecast in seen["forecast"].values()}, {"relay"})
    return f"{seen['label']} ({seen['confidence']}), hints: {', '.join(seen['hints'])}"


def lifetime(name, server):
    @case(f"nat-lifetime-{name}", *TOOLS, seconds=420, namespace=True)
    def behind():
        """The kernel forgets after 12 s of silence, as it is told to, and we find out."""
        world = World("netfilter")
        world.nat.sh("sysctl -qw net.netfilter.nf_conntrack_udp_timeout_stream=12")
        server([SERVER], 3478, alternate=(ALTERNATE, 3479), where=world.server)
        flags = ("--lifetime", "--timeout", "400")
        code, events, err = check(world.inside, f"{SERVER}:3478", flags=flags, seconds=410)
        equal(f"exit code ({err.strip()})", code, 0)
        [seen] = [event for event in events if event["event"] == "nat"]
        expect(abs(seen["lifetime_s"] - 12) <= 2, f"`lifetime_s` is {seen['lifetime_s']}")
        return f"{seen['lifetime_s']} s ({seen['confidences']['lifetime_s']})"


lifetime("mediator", Mediator)
lifetime("coturn", Coturn)
