"""Our ICE agent against those of `is`, `rice-proto` and `rtc-ice`: both in one process, in virtual time.

The bench of ICE agents connects them (benches/benches/ice/interop.rs), all at once and in about a second. Each
of its rows is a case of its own, called in-process-LIBRARY-ROW-PLACE, where the place is ours: the first one
controls, unless the row says what both do.
"""

import functools
import os
import re

from kit.case import Fail, Skip, case, equal
from kit.procs import run

LIBRARIES = ("is", "rice-proto", "rtc-ice")
# As the bench calls them.
ROWS = (
    "host, IPv4", "host, IPv6", "srflx, IPv4", "srflx, IPv6", "prflx", "srflx, 10 % loss", "both controlling",
    "both controlled", "wrong password",
)  # fmt: skip
PLACES = {"first": "bradawl×{}", "second": "{}×bradawl"}
LINE = re.compile(r"(PASS|FAIL) (.+?): (\d.*)")


@functools.cache
def outcome():
    """What the bench says of each row: the verdict and what was seen; or why it says nothing."""
    program = os.environ.get("BRADAWL_ICE_BENCH")
    if program is None:
        return {}, Skip("no cargo to build the bench with")
    if not program:
        return {}, Fail("the bench does not build")
    code, out, err = run([program, "--interop", "--bench"], seconds=50)
    lines = [LINE.fullmatch(line) for line in out.splitlines()]
    if code not in (0, 1) or not lines or None in lines:
        return {}, Fail(f"the bench ended with {code}: {err.strip() or out.strip()}")
    return {line[2]: (line[1], line[3]) for line in lines}, None


def rows():
    seen, why = outcome()
    if why:
        raise why
    return seen


def judged(title, key):
    @case(title)
    def judge():
        verdict, seen = rows().get(key, ("FAIL", "the bench has no such row"))
        if verdict != "PASS":
            raise Fail(seen)
        return seen


WANTED = {}
for library in LIBRARIES:
    for row in ROWS:
        for place, pair in PLACES.items():
            key = f"{pair.format(library)}, {row}"
            WANTED[key] = f"in-process-{library}-{'-'.join(re.findall('[a-z0-9]+', row.lower()))}-{place}"
            judged(WANTED[key], key)


@case("in-process-rows")
def every_row_is_a_case():
    seen = rows()
    equal("rows of the bench that are no case, and the other way round", sorted(set(seen) ^ set(WANTED)), [])
    return f"{len(seen)} rows"
