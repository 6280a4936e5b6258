#!/usr/bin/env python3
"""Checks every vector in this folder with nothing but Python's own HMAC, SHA, MD5 and CRC.

The files are `# comment` lines and lines of hex (spaces allowed). A comment of the form
`# name: value` with a name of NAMES below is also read, so that a message and the
credentials that belong to it live in one file. Prints one line per vector; exit 1 on a mismatch.
"""

import hashlib
import hmac
import ipaddress
import pathlib
import struct
import sys
import zlib

NAMES = {"mechanism", "username", "realm", "password", "mapped"}
COOKIE = 0x2112A442
USERNAME, INTEGRITY, REALM, INTEGRITY_SHA256 = 0x0006, 0x0008, 0x0014, 0x001C
PASSWORD_ALGORITHM, USERHASH, XOR_MAPPED, FINGERPRINT = 0x001D, 0x001E, 0x0020, 0x8028


def load(path):
    """The bytes of a vector and the named values of its comments."""
    message, meta = bytearray(), {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            name, _, value = line[1:].strip().partition(": ")
            if name in NAMES:
                meta[name] = value
        else:
            message += bytes.fromhex(line)
    return bytes(message), meta


def attributes(message):
    """(type, offset of its header, value) of each attribute; the header is checked."""
    _, length, cookie = struct.unpack_from(">HHI", message)
    assert cookie == COOKIE, "cookie"
    assert len(message) == 20 + length, f"length {length}, but {len(message)} bytes"
    at = 20
    while at < len(message):
        kind, size = struct.unpack_from(">HH", message, at)
        assert at + 4 + size <= len(message), "attribute runs over the end"
        yield kind, at, message[at + 4 : at + 4 + size]
        at += 4 + (size + 3) // 4 * 4


def covered(message, at, size):
    """What integrity or fingerprint at offset `at` covers, the length field ending with that attribute."""
    return message[:2] + struct.pack(">H", at + 4 + size - 20) + message[4:at]


def key(meta):
    """The HMAC key of the named mechanism."""
    password = meta["password"]
    if meta["mechanism"] == "short-term":
        return password.encode()
    text = f'{meta["username"]}:{meta["realm"]}:{password}'.encode()
    return {"long-term-md5": hashlib.md5, "long-term-sha256": hashlib.sha256}[meta["mechanism"]](text).digest()


def mapped(message, value):
    """The address in XOR-MAPPED-ADDRESS, written as the comments write it."""
    _, family, port = struct.unpack_from(">BBH", value)
    assert len(value) == {1: 8, 2: 20}[family], "address length"
    raw = bytes(a ^ b for a, b in zip(value[4:], message[4:20]))
    return f"{ipaddress.ip_address(raw)} {port ^ (COOKIE >> 16)}"


def check(path):
    message, meta = load(path)
    seen = []
    for kind, at, value in attributes(message):
        if kind == INTEGRITY:
            assert hmac.digest(key(meta), covered(message, at, 20), "sha1") == value, "MESSAGE-INTEGRITY"
            seen.append("hmac-sha1")
        elif kind == INTEGRITY_SHA256:
            assert hmac.digest(key(meta), covered(message, at, len(value)), "sha256") == value, "MESSAGE-INTEGRITY-SHA256"
            seen.append("hmac-sha256")
        elif kind == FINGERPRINT:
            crc = zlib.crc32(covered(message, at, 4)) ^ 0x5354554E
            assert crc == int.from_bytes(value, "big"), "FINGERPRINT"
            seen.append("crc")
        elif kind == XOR_MAPPED:
            assert mapped(message, value) == meta["mapped"], "XOR-MAPPED-ADDRESS"
            seen.append("address")
        elif kind == USERNAME:
            assert value == meta["username"].encode(), "USERNAME"
            seen.append("username")
        elif kind == REALM:
            assert value == meta["realm"].encode(), "REALM"
            seen.append("realm")
        elif kind == USERHASH:
            assert value == hashlib.sha256(f'{meta["username"]}:{meta["realm"]}'.encode()).digest(), "USERHASH"
            seen.append("userhash")
    assert any(what.startswith("hmac") for what in seen), "no integrity in it"
    return f"{len(message)} bytes, {' '.join(seen)}"


def main():
    paths = sorted(pathlib.Path(__file__).parent.glob("*.hex"))
    failed = 0 if len(paths) >= 5 else 1
    for path in paths:
        try:
            print(f"ok    {path.name}: {check(path)}")
        except (AssertionError, KeyError, ValueError, struct.error) as error:
            failed = 1
            print(f"WRONG {path.name}: {error!r}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
