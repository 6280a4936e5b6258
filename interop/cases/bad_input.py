"""What must not be answered, and what must be refused with exactly the error that the RFC asks for.

Silence is shown without waiting for it: the datagram goes out, then an honest request from the
same socket, and the first thing that comes back must be the answer to the request.
"""

import os
import signal
import socket
import struct

from kit import net
from kit.case import case, equal, expect
from kit.servers import Mediator
from kit.stun import (
    CHANGE_REQUEST, ERROR, INDICATION, MAPPED, RESPONSE_PORT, SUCCESS, XOR_MAPPED, Reply, ask, message,
)  # fmt: skip

V4, V6 = "127.0.0.1", "::1"
LARGEST = 65507  # what fits into a UDP datagram over IPv4


class Talk:
    """A socket connected to a mediator of its own."""

    def __init__(self, host=V4, flags=()):
        port = net.free_port(host)
        self.mediator = Mediator([host], port, flags=flags)
        self.udp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.settimeout(2)
        self.udp.connect((host, port))

    def ask(self, request):
        """Sends a request and takes its answer apart."""
        self.udp.send(request)
        return Reply(request, self.udp.recv(65536))

    def silent(self, bad):
        """None of these gets an answer, the server goes on, and at its end it has counted each; the counts."""
        for what, data in bad.items():
            self.udp.send(data)
            request = message()
            self.udp.send(request)
            reply = self.udp.recv(65536)
            expect(reply[4:20] == request[4:20], f"{what} was answered with {reply[:32].hex()} ({len(reply)} bytes)")
        dropped = self.mediator.dropped()
        equal(f"counted as dropped ({dropped})", sum(dropped.values()), len(bad))
        return ", ".join(f"{why} {count}" for why, count in dropped.items())

    def refused(self, what, attributes, wanted):
        """A request with these attributes gets 420 that names the `wanted` ones."""
        reply = self.ask(message(attributes=attributes))
        equal(f"{what}: class", reply.kind, ERROR)
        equal(f"{what}: code", reply.code(), 420)
        equal(f"{what}: UNKNOWN-ATTRIBUTES", reply.unknown(), wanted)
        return reply


def sizes(host, plain, marked):
    talk = Talk(host)
    reply = talk.ask(message())
    equal("class", reply.kind, SUCCESS)
    equal("size", reply.size, plain)
    equal("address", reply.mapped(), talk.udp.getsockname()[:2])
    equal("attributes", [kind for kind, _ in reply.attributes], [XOR_MAPPED])
    # Reply checks the CRC of every FINGERPRINT that it meets.
    equal("size with FINGERPRINT", talk.ask(message(fingerprint=True)).size, marked)
    return f"success is {plain} bytes with the address alone, {marked} when the request had FINGERPRINT"


@case("reply-size-v4")
def reply_size_v4():
    return sizes(V4, 32, 40)


@case("reply-size-v6")
def reply_size_v6():
    net.need_ipv6()
    return sizes(V6, 44, 52)


@case("bad-length")
def bad_length():
    talk, request = Talk(), message()
    optional = struct.pack(">HH", 0x8099, 4)
    counts = talk.silent({
        "an empty datagram": b"",
        "one byte": b"\0",
        "19 bytes": request[:19],
        "65,507 zeros": bytes(LARGEST),
        "65,507 random bytes": os.urandom(LARGEST),
        "65,507 bytes after a header": request + bytes(LARGEST - 20),
        "a length that is no multiple of four": request[:2] + b"\0\x03" + request[4:] + bytes(3),
        "a length beyond the end": request[:2] + b"\0\x08" + request[4:],
        "bytes after the end": request + bytes(4),
        "an attribute beyond the end": request[:2] + b"\0\x04" + request[4:] + optional,
        "an attribute with no room for its header": request[:2] + b"\0\x02" + request[4:] + b"\x80\x99",
        "ones in the first two bits": bytes([request[0] | 0xC0]) + request[1:],
    })  # fmt: skip
    return f"0, 1, 19 and 65,507 bytes, lying lengths: silence, the next request is answered; counted: {counts}"


@case("bad-kind")
def bad_kind():
    talk = Talk()
    counts = talk.silent({
        "a binding success": message(SUCCESS),
        "a binding error": message(ERROR),
        "a binding indication": message(INDICATION),
        "an indication with an unknown attribute": message(INDICATION, [(0x7F01, b"")]),
        "a wrong FINGERPRINT": message(fingerprint=False),
        "no magic cookie": message(cookie=0x12345678),
    })  # fmt: skip
    return f"a response, an indication, a wrong FINGERPRINT, no cookie: silence; counted: {counts}"


@case("bad-source-port", namespace=True)
def bad_source_port():
    """A request from port 0 cannot be answered; those received along with it must be."""
    space = net.Namespace()
    Mediator([V4], 3478, where=space)
    with space.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_UDP) as raw, space.socket() as udp:
        udp.settimeout(2)
        udp.connect((V4, 3478))
        requests = [message() for _ in range(32)]
        for request in requests:
            # A checksum of zero is none.
            raw.sendto(struct.pack(">HHHH", 0, 3478, 8 + len(request), 0) + request, (V4, 0))
            udp.send(request)
        answered = {udp.recv(65536)[8:20] for _ in requests}
    equal("answered", answered, {request[8:20] for request in requests})
    return f"{len(requests)} requests from port 0 between {len(requests)} others: the others are answered"


@case("refused-attributes")
def refused_attributes():
    talk = Talk()
    reply = talk.refused("RESPONSE-PORT", [(RESPONSE_PORT, b"\x1f\x90\0\0")], [RESPONSE_PORT])
    talk.refused("CHANGE-REQUEST", [(CHANGE_REQUEST, b"\0\0\0\x06")], [CHANGE_REQUEST])
    talk.refused("two unknown", [(0x7F01, b"x"), (0x7F02, b"")], [0x7F01, 0x7F02])
    answered = talk.ask(message(attributes=[(0x8099, b"x"), (0x8022, b"a client")]))
    equal("unknown optional attributes: class", answered.kind, SUCCESS)
    return f"RESPONSE-PORT, CHANGE-REQUEST without a second address, unknown ones: 420 that names them ({reply.size} bytes)"


@case("classic-reply")
def classic_reply():
    """With --classic a request without the cookie gets MAPPED-ADDRESS and nothing that RFC 3489 does not know."""
    talk = Talk(flags=["--classic"])
    request = message(cookie=0x12345678)
    reply = talk.ask(request)
    equal("class", reply.kind, SUCCESS)
    host, port = talk.udp.getsockname()
    equal("MAPPED-ADDRESS", reply.get(MAPPED), struct.pack(">BBH", 0, 1, port) + socket.inet_aton(host))
    expect(all(kind < 0x8000 for kind, _ in reply.attributes), "an attribute that RFC 3489 does not know")
    equal("class with the cookie", talk.ask(message()).kind, SUCCESS)
    return f"{reply.size} bytes with MAPPED-ADDRESS; with the cookie as ever"


@case("mediator-stops")
def stops():
    seen = []
    for signum in (signal.SIGTERM, signal.SIGINT):
        talk = Talk()
        equal("class", talk.ask(message()).kind, SUCCESS)
        code = talk.mediator.stop(signum)
        equal(f"exit code after {signum.name}", code, 0)
        seen.append(f"{signum.name}: exit 0")
    return ", ".join(seen)


@case("listen-any", namespace=True)
def listen_any():
    """On 0.0.0.0 the answer leaves from the address that was asked, or a client behind a NAT never sees it."""
    world = net.World()
    Mediator(["0.0.0.0"], 3478, where=world.server)
    for host in (net.SERVER, net.ALTERNATE, "10.79.0.1"):
        request = message()
        ours, data = ask(world.open, host, 3478, request)
        expect(data, f"{host} does not answer, or from another address")
        equal(f"address that {host} reports", Reply(request, data).mapped(), ours)
    return "0.0.0.0:3478 with three addresses: each answers for itself"
