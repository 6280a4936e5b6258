"""The messages printed in the RFCs are what we say they are: checked without our code."""

import pathlib

from kit import procs
from kit.case import case, expect

VERIFY = pathlib.Path(__file__).parents[1] / "vectors" / "verify.py"


@case("vectors")
def vectors():
    code, out, err = procs.run(["python3", "-B", str(VERIFY)])
    expect(code == 0, (out + err).strip())
    return f"{len(out.splitlines())} messages of RFC 5769 and RFC 8489 B.1 verify with Python's hmac and zlib"
