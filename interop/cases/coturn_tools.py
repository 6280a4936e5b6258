"""coturn's `turnutils_stunclient` and `turnutils_natdiscovery` against our mediator.

Behind each kind of box the discovery must reach the right conclusion, and the same one that
it reaches with coturn's server in the same place.
"""

import re

from kit import net, procs
from kit.case import case, equal, expect
from kit.net import (
    ALTERNATE, ALTERNATE_V6, INSIDE, OPEN, OPEN_V6, SERVER, SERVER_V6, Namespace, World, need_ipv6,
)  # fmt: skip
from kit.servers import Coturn, Mediator

# In a fresh namespace the kernel picks source ports from here, so that the reflexive port can be checked.
PORTS = range(40000, 40010)

DISCOVERY = ("turnutils_natdiscovery", "turnserver")
NO_NAT = "No NAT! (Endpoint Independent Mapping)"
MAPPING = "NAT with {} Mapping!"
FILTERING = "NAT with {} Filtering!"
ANY, ADDRESS_AND_PORT = "Endpoint Independent", "Address and Port Dependent"


def loopback():
    """A namespace with nothing but a loopback interface and few source ports."""
    space = Namespace()
    space.sh(f"echo {PORTS[0]} {PORTS[-1]} > /proc/sys/net/ipv4/ip_local_port_range")
    return space


def reflexive(text):
    """The addresses that the tool says it has from outside."""
    found = re.findall(r"UDP reflexive addr: (\S+):(\d+)", text)
    expect(found, f"no reflexive address: {text.strip()[-200:]!r}")
    return [(host, int(port)) for host, port in found]


def stunclient(host):
    space = loopback()
    Mediator([host], 3478, where=space)
    _, out, err = procs.run(space.command(["turnutils_stunclient", "-p", "3478", host]))
    for seen, port in reflexive(out + err):
        equal("reflexive address", seen, host)
        expect(port in PORTS, f"reflexive port {port} is not one that the tool can have used")
    return f"turnutils_stunclient: reflexive {net.at(seen, port)}"


@case("stunclient-v4", "turnutils_stunclient", namespace=True)
def stunclient_v4():
    return stunclient("127.0.0.1")


@case("stunclient-v6", "turnutils_stunclient", namespace=True)
def stunclient_v6():
    need_ipv6()
    return stunclient("::1")


def discover(tests, client, ips=(SERVER, ALTERNATE), box="netfilter", **ours):
    """What the discovery prints against our server and against coturn's, each in a world of its own."""
    commands = []
    for server, options in ((Mediator, ours), (Coturn, {})):
        world = World(box)
        server([ips[0]], 3478, alternate=(ips[1], 3479), where=world.server, **options)
        space = world.inside if client == INSIDE else world.open
        commands.append(space.command(["turnutils_natdiscovery", *tests, "-p", "3478", "-L", client, ips[0]]))
    return procs.run_beside(commands)


def conclusions(text):
    """The lines that the discovery puts between two rules."""
    return re.findall(r"^=+\n((?:No NAT|NAT with).*)\n=+$", text, re.MULTILINE)


def agree(wanted, *args, **options):
    ours, theirs = map(conclusions, discover(*args, **options))
    equal("against our mediator", ours, wanted)
    equal("against coturn's server", theirs, wanted)
    return f"{' '.join(wanted)} (and so with coturn's server)"


# The tool says "NAT with …" after "No NAT!", too: it prints each conclusion that it comes by.
OPEN_NET = [NO_NAT, MAPPING.format(ANY), NO_NAT, FILTERING.format(ANY)]
FIREWALL = [NO_NAT, MAPPING.format(ANY), NO_NAT, FILTERING.format(ADDRESS_AND_PORT)]
FULL_CONE = [MAPPING.format(ANY), FILTERING.format(ANY)]
NETFILTER = [MAPPING.format(ANY), FILTERING.format(ADDRESS_AND_PORT)]
SYMMETRIC = [MAPPING.format(ADDRESS_AND_PORT), FILTERING.format(ADDRESS_AND_PORT)]


def natdiscovery(name, client, wanted, **options):
    @case(f"natdiscovery-{name}", *DISCOVERY, namespace=True)
    def discovery():
        return agree(wanted, ["-m", "-f"], client, **options)


natdiscovery("open", OPEN, OPEN_NET)
natdiscovery("firewall", INSIDE, FIREWALL, box="firewall")
natdiscovery("full-cone", INSIDE, FULL_CONE, box="full-cone")
natdiscovery("netfilter", INSIDE, NETFILTER)
natdiscovery("symmetric", INSIDE, SYMMETRIC, box="symmetric")
natdiscovery("workers", INSIDE, NETFILTER, flags=["--workers", "4"])


@case("natdiscovery-v6", *DISCOVERY, namespace=True)
def v6():
    need_ipv6()
    return agree(OPEN_NET, ["-m", "-f"], OPEN_V6, ips=(SERVER_V6, ALTERNATE_V6))


@case("natdiscovery-padding", *DISCOVERY, namespace=True)
def padding():
    return agree([MAPPING.format(ANY)], ["-m", "-P"], INSIDE)


@case("natdiscovery-hairpin", *DISCOVERY, namespace=True)
def hairpin():
    """Without a NAT the second socket's request arrives; the reflexive address it goes to is what we told."""
    for title, text in zip(("our mediator", "coturn's server"), discover(["-H"], OPEN)):
        expect("Received a request (maybe a successful hairpinning)" in text, f"against {title}: {text.strip()[-200:]!r}")
    return "the request sent to the reflexive address arrives (and so with coturn's server)"
