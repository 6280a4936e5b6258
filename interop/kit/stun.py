"""As much of STUN as the cases need, written from the RFC and not from our core: a second opinion."""

import ipaddress
import os
import socket
import struct
import zlib

COOKIE = 0x2112A442
REQUEST, INDICATION, SUCCESS, ERROR = 0x0001, 0x0011, 0x0101, 0x0111
MAPPED, CHANGE_REQUEST, ERROR_CODE, UNKNOWN, XOR_MAPPED = 0x0001, 0x0003, 0x0009, 0x000A, 0x0020
RESPONSE_PORT, FINGERPRINT = 0x0027, 0x8028


def message(kind=REQUEST, attributes=(), fingerprint=None, cookie=COOKIE):
    """A message; `fingerprint` is True for a right one, False for a wrong one."""
    body = b"".join(struct.pack(">HH", t, len(v)) + v + bytes(-len(v) % 4) for t, v in attributes)
    length = len(body) + (8 if fingerprint is not None else 0)
    head = struct.pack(">HHI", kind, length, cookie) + os.urandom(12)
    if fingerprint is None:
        return head + body
    crc = zlib.crc32(head + body) ^ (0x5354554E if fingerprint else 0)
    return head + body + struct.pack(">HHI", FINGERPRINT, 4, crc)


def ask(where, host, port, data, seconds=1.0):
    """Sends from a fresh socket in namespace `where`; (our address, the first datagram back or None)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with where.socket(family) as udp:
        udp.settimeout(seconds)
        try:
            udp.connect((host, port))
            udp.send(data)
            return udp.getsockname()[:2], udp.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return udp.getsockname()[:2], None


class Reply:
    """A reply taken apart, with its form checked against the request."""

    def __init__(self, request, data):
        self.kind, length, _ = struct.unpack_from(">HHI", data)
        if data[4:20] != request[4:20]:
            raise ValueError("cookie or transaction id is not the request's")
        if len(data) != 20 + length or length % 4:
            raise ValueError(f"length field says {length}, datagram is {len(data)} bytes")
        self.size, self.attributes, offset = len(data), [], 20
        while offset < len(data):
            kind, size = struct.unpack_from(">HH", data, offset)
            value = data[offset + 4 : offset + 4 + size]
            if kind == FINGERPRINT and int.from_bytes(value, "big") != zlib.crc32(data[:offset]) ^ 0x5354554E:
                raise ValueError("FINGERPRINT of the reply is wrong")
            if any(data[offset + 4 + size : offset + 4 + size + -size % 4]):
                raise ValueError(f"padding of attribute {kind:#06x} is not zero")
            self.attributes.append((kind, value))
            offset += 4 + size + -size % 4
        self.data = data

    def get(self, kind):
        return next((value for have, value in self.attributes if have == kind), None)

    def code(self):
        """The number in ERROR-CODE."""
        value = self.get(ERROR_CODE)
        return value[2] * 100 + value[3] if value else None

    def unknown(self):
        """The types in UNKNOWN-ATTRIBUTES."""
        value = self.get(UNKNOWN)
        return None if value is None else [kind for (kind,) in struct.iter_unpack(">H", value)]

    def mapped(self):
        """The address in XOR-MAPPED-ADDRESS, as (host, port)."""
        value = self.get(XOR_MAPPED)
        host = bytes(a ^ b for a, b in zip(value[4:], self.data[4:20]))
        return str(ipaddress.ip_address(host)), struct.unpack_from(">H", value, 2)[0] ^ (COOKIE >> 16)
