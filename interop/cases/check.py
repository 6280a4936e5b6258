"""Our client, `bradawl-peer check`, against coturn's server and through real NATs to our mediator."""

import json
import time

from kit import net, procs
from kit.case import Fail, case, equal, expect
from kit.net import INSIDE, OPEN, PUBLIC, SERVER, World, need_ipv6
from kit.servers import Coturn, Mediator, ours

UNREACHABLE = 3  # DESIGN §9: mediator unreachable


def check(where, *servers, flags=(), seconds=30):
    """The exit code and the JSON lines of one check."""
    command = [ours("bradawl-peer"), "check", "--json", "--mediator", ",".join(servers), *flags]
    code, out, err = procs.run(where.command(command), seconds=seconds)
    try:
        return code, [json.loads(line) for line in out.splitlines()], err
    except ValueError:
        raise Fail(f"not JSON lines: {out!r}") from None


def public(where, *servers):
    """What each of the servers reported, in the order they were named."""
    code, events, err = check(where, *servers)
    equal(f"exit code ({err.strip()})", code, 0)
    equal("events", [event["event"] for event in events], ["mapped"] * len(servers) + ["nat"])
    by_server = {event["server"]: event for event in events[:-1]}
    for event in events:
        equal("`v`", event["v"], 1)
    for event in events[:-1]:
        equal("`translated`", event["translated"], event["public"] != event["local"])
        expect(event["rtt_ms"] is None or event["rtt_ms"] > 0, f"`rtt_ms` is {event['rtt_ms']}")
    return [by_server[server] for server in servers]


def host_of(address):
    return address.rpartition(":")[0].strip("[]")


def against_coturn(host):
    """Without a NAT what coturn's server sees is what the client is bound to, to the port."""
    port = net.free_port(host)
    Coturn([host], port)
    [event] = public(net.HOME, net.at(host, port))
    equal("public address", event["public"], event["local"])
    equal("public host", host_of(event["public"]), host)
    return f"coturn's server sees us at {event['public']}, which is where we are; {event['rtt_ms']} ms"


@case("check-coturn-v4", "turnserver")
def coturn_v4():
    return against_coturn("127.0.0.1")


@case("check-coturn-v6", "turnserver")
def coturn_v6():
    need_ipv6()
    return against_coturn("::1")


def through(name, box, inside, wanted):
    @case(f"check-{name}", namespace=True)
    def from_there():
        world = World(box)
        Mediator([SERVER], 3478, where=world.server)
        [event] = public(world.inside if inside else world.open, f"{SERVER}:3478")
        equal("public host", host_of(event["public"]), wanted)
        equal("`translated`", event["translated"], wanted == PUBLIC)
        return f"our mediator sees us at {event['public']}, we are at {event['local']}"


through("open", "netfilter", False, OPEN)
through("firewall", "firewall", True, INSIDE)
through("netfilter", "netfilter", True, PUBLIC)
through("symmetric", "symmetric", True, PUBLIC)


@case("check-two-servers", "turnserver", namespace=True)
def two_servers():
    """One line each; behind a NAT that keeps mappings both must report the same address."""
    world = World()
    Mediator([SERVER], 3478, where=world.server)
    Coturn([net.ALTERNATE], 3478, where=world.server)
    first, second = public(world.inside, f"{SERVER}:3478", f"{net.ALTERNATE}:3478")
    equal("host that our mediator and coturn's server see", [host_of(e["public"]) for e in (first, second)], [PUBLIC] * 2)
    return f"our mediator sees us at {first['public']}, coturn's server at {second['public']}"


@case("check-blocked", seconds=90, namespace=True)
def blocked():
    """No UDP gets through: the client says so with its exit code."""
    world = World("blocked")
    Mediator([SERVER], 3478, where=world.server)
    # Who hears nothing at all says so, too: see nat.py.
    return unreachable(world.inside, f"{SERVER}:3478", ["failed", "nat"])


@case("check-closed-port")
def closed_port():
    """Nobody listens: the same, and without waiting for the end of the schedule."""
    begin = time.monotonic()
    seen = unreachable(net.HOME, f"127.0.0.1:{net.free_port('127.0.0.1')}")
    took = time.monotonic() - begin
    expect(took < 2, f"took {took:.1f} s to say what ICMP said at once")
    return f"{seen} ({took:.1f} s)"


def unreachable(where, server, names=("failed",)):
    code, events, err = check(where, server)
    equal(f"exit code ({err.strip()})", code, UNREACHABLE)
    equal("events", [event["event"] for event in events], list(names))
    return f"exit {code}, {events[0]['reason']}: {events[0]['message']}"
