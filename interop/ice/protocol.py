"""What the peers in Python share: the flags of `bradawl-peer ice` and its JSON lines (DESIGN §9)."""

import argparse
import json
import sys


def flags(**extra):
    """The flags of the verb, and what a peer has besides."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=("controlling", "controlled"), required=True)
    parser.add_argument("--stun", type=address)
    parser.add_argument("--turn", type=address)
    parser.add_argument("--turn-user")
    parser.add_argument("--turn-pass")
    parser.add_argument("--turn-transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--relay-only", action="store_true")
    parser.add_argument("--bind", action="append", default=[], metavar="IP")
    parser.add_argument("--echo", action="store_true")
    for name, text in extra.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    return parser.parse_args()


def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def at(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def emit(kind, **fields):
    sys.stdout.write(json.dumps({"type": kind, **fields}) + "\n")
    sys.stdout.flush()


def parse(line):
    """The object of a line that has a `type`; ValueError when it is not one."""
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("not an object with a `type`")
    return message
