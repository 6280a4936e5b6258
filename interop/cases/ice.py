"""Our ICE agent, `bradawl-peer ice`, against those of aioice, libnice, pion and Chromium, in both roles.

Each row of the matrix is a case of its own, called ice-AGENT-ROW-ROLE, where the role is ours. A row that an
agent has no way to play does not exist: no browser is lite, and pion knows no role conflict. A browser sends
nothing over the pair but DTLS, which nobody answers: it is judged by its pair, and by the arrival of its hello.

BRADAWL_ICE_PEER names another agent to take the place of ours: one of these, or a command.
"""

from kit.case import case, equal, expect
from kit.ice import CORRUPT, NOTHING, Agent, Session, Wire, host, known
from kit.net import PUBLIC, SERVER, Cable, Homes, need_ipv6
from kit.servers import Coturn, Mediator

AGENTS = ("aioice", "libnice", "pion", "chromium")
OTHER = {"controlling": "controlled", "controlled": "controlling"}
USER = ("bradawl", "awl")
# How long two agents are watched that must not connect: longer than any of them takes when it may.
WATCHED = 2.5


def row(name, agents=AGENTS, roles=tuple(OTHER), seconds=60):
    """Registers the judgement for every agent and each of our roles."""

    def register(judgement):
        for agent in agents:
            for role in roles:
                title = f"ice-{agent}-{name}-{role}" if len(roles) > 1 else f"ice-{agent}-{name}"

                def play(agent=agent, role=role):
                    return judgement(agent, role)

                case(title, seconds=seconds, namespace=True)(play)
        return judgement

    return register


def on_cable(agent, role, *, ours=(), theirs=(), their_role=None, lost_percent=0, **wires):
    """Ours on the left end of a cable, the other one on its right end."""
    cable = Cable(lost_percent)
    left = Agent("ours", role, cable.left, ours)
    right = Agent(agent, their_role or OTHER[role], cable.right, theirs)
    return Session(left, right, **wires)


def connected(session, work=lambda session: session.exchange(50)):
    """Connects, does what is to be done over the pair, and ends; in words."""
    took = session.connect()
    seen = f"{session.story()} in {took:.2f} s, {work(session)}"
    session.close()
    return seen


def selected_hosts(session, *wanted):
    """Our side of the pair is at these addresses."""
    pair = session.agents[0].selected
    equal("our pair", [host(pair["local"]), host(pair["remote"])], list(wanted))


@row("v4")
def v4(agent, role):
    session = on_cable(agent, role, ours=("--bind", Cable.V4[0]), theirs=("--bind", Cable.V4[1]))
    seen = connected(session)
    selected_hosts(session, *Cable.V4)
    return seen


@row("v6")
def v6(agent, role):
    need_ipv6()
    session = on_cable(agent, role, ours=("--bind", Cable.V6[0], "--echo"), theirs=("--bind", Cable.V6[1]))
    seen = connected(session, lambda session: session.echo(session.agents[0], 20))
    selected_hosts(session, *Cable.V6)
    return seen


@row("srflx")
def srflx(agent, role):
    """Both are behind a NAT: only what the STUN server tells them about themselves can be reached."""
    homes = Homes()
    # libnice asks without a magic cookie, as RFC 3489 has it.
    Mediator(homes.SERVERS, 3478, where=homes.server, flags=["--classic"])
    stun = [("--stun", f"{server}:3478") for server in homes.SERVERS]
    left = Agent("ours", role, homes.left, stun[0])
    right = Agent(agent, OTHER[role], homes.right, stun[1])
    session = Session(left, right, direct=False)
    seen = connected(session)
    for one, public in ((left, homes.PUBLIC[1]), (right, homes.PUBLIC[0])):
        remote = one.selected["remote"]
        expect(not known(remote) or host(remote) == public, f"{one.name} sends to {remote}, not to {public}")
    return seen


@row("prflx")
def prflx(agent, role):
    """We are told none of their candidates, and learn the address from their checks."""
    return connected(on_cable(agent, role, right_wire=NOTHING))


@row("prflx-nat")
def prflx_nat(agent, role):
    """We are behind a NAT without a STUN server: they learn our address, and we learn it from their answers."""
    homes = Homes()
    left = Agent("ours", role, homes.left)
    right = Agent(agent, OTHER[role], homes.server, ("--bind", SERVER))
    session = Session(left, right, direct=False)
    seen = connected(session)
    remote = right.selected["remote"]
    expect(not known(remote) or host(remote) == PUBLIC, f"{right.name} sends to {remote}, not to {PUBLIC}")
    equal("where we send to", host(left.selected["remote"]), SERVER)
    return seen


@row("relayed")
def relayed(agent, role):
    """They are behind a NAT and tell us only of their relay at coturn's server; we are behind another NAT.

    A relay lets in whom its owner has permitted, so that we have to know our own address, too.
    """
    homes = Homes()
    Coturn([homes.SERVERS[1]], 3478, where=homes.server, user=USER)
    server = f"{homes.SERVERS[1]}:3478"
    turn = ("--turn", server, "--turn-user", USER[0], "--turn-pass", USER[1], "--relay-only")
    left = Agent("ours", role, homes.left, ("--stun", server))
    right = Agent(agent, OTHER[role], homes.right, turn)
    session = Session(left, right, direct=False)
    seen = connected(session)
    kinds = {candidate.split()[7] for candidate in right.candidates}
    equal("their kinds of candidates", kinds, {"relay"})
    equal("where we send to", host(left.selected["remote"]), homes.SERVERS[1])
    return seen


@row("late")
def late(agent, role):
    """Our candidates come 0.7 s after the credentials, theirs 1.2 s."""
    return connected(on_cable(agent, role, left_wire=Wire(late=0.7), right_wire=Wire(late=1.2)))


@row("loss")
def loss(agent, role):
    """Every tenth datagram is lost in each direction, checks and answers alike."""
    session = on_cable(agent, role, lost_percent=10)
    took = session.connect(20)
    seen = f"{session.story()} in {took:.2f} s, {session.exchange_over_loss(400, 0.8)}"
    session.close()
    return seen


@row("restart")
def restart(agent, role):
    session = on_cable(agent, role)
    first = session.connect()
    session.exchange(20)
    again = session.restart()
    seen = f"{session.story()} in {first:.2f} s, again in {again:.2f} s, {session.exchange(50)}"
    session.close()
    return seen


@row("lite", agents=("libnice", "pion"), roles=("controlling",))
def lite(agent, role):
    """They only answer: all the checks are ours."""
    session = on_cable(agent, role, theirs=("--lite",))
    seen = connected(session)
    equal("`lite` in their `local`", session.agents[1].local["lite"], True)
    return seen


@row("aggressive", agents=("libnice",), roles=("controlled",))
def aggressive(agent, role):
    """They nominate with every check, as RFC 5245 allowed; aioice always does."""
    return connected(on_cable(agent, role, theirs=("--aggressive",)))


def conflict(name, role):
    @row(name, agents=("aioice", "libnice", "chromium"), roles=(role,))
    def both(agent, role):
        """Both claim the same role: one gives way (RFC 8445 section 7.3.1.1)."""
        session = on_cable(agent, role, their_role=role)
        seen = connected(session)
        return f"{seen}, {'we' if session.agents[0].selected['controlling'] else 'they'} control"

    return both


conflict("both-controlling", "controlling")
conflict("both-controlled", "controlled")


@row("wrong-password")
def wrong_password(agent, role):
    """Each is told a password for the other that is wrong in one letter."""
    session = on_cable(agent, role, left_wire=CORRUPT, right_wire=CORRUPT)
    session.refused(WATCHED)
    return f"{session.agents[1].local['impl']}: not connected after {WATCHED} s"


@row("data", agents=("aioice", "libnice", "pion"))
def data(agent, role):
    session = on_cable(agent, role)
    return connected(session, lambda session: session.exchange(10_000))


@row("mdns", agents=("chromium",))
def mdns(agent, role):
    """The browser hides its addresses behind mDNS names, as it does for every page."""
    session = on_cable(agent, role, theirs=("--mdns",))
    seen = connected(session)
    names = [candidate.split()[4] for candidate in session.agents[1].candidates]
    expect(names and all(name.endswith(".local") for name in names), f"the browser's candidates are at {names}")
    return seen


BAD_LINES = (
    b"not JSON", b"[]", b"{}", b'{"type":7}', b'{"type":"dance"}', b'{"type":"candidate"}',
    b'{"type":"candidate","candidate":"candidate:nonsense"}', b'{"type":"remote","ufrag":"abcd"}',
    b'{"type":"send","data":"AAAA"}', b'{"type":"send","data":"?"}', b'{"type":"remote"', b"\xff\xfe",
)  # fmt: skip


@case("ice-bad-lines", namespace=True)
def bad_lines():
    """Each line that ours cannot use gets one `error`, and then it works as if nothing had been."""
    cable = Cable()
    left, right = Agent("ours", "controlling", cable.left), Agent("ours", "controlled", cable.right)
    session = Session(left, right, NOTHING, NOTHING)
    session.until(lambda: left.local and right.local, "`local` of both")
    for line in BAD_LINES:
        before = len(left.errors)
        left.tell_bytes(line + b"\n")
        session.until(lambda before=before: len(left.errors) > before, f"an `error` for {line!r}")
    session.rest(0.2)
    equal("errors", len(left.errors), len(BAD_LINES))
    for agent in (left, right):
        session.wires[agent] = Wire()
        for candidate in agent.candidates:
            session.other(agent).tell("candidate", candidate=candidate)
    return f"{len(BAD_LINES)} bad lines, {len(left.errors)} errors; {connected(session)}"


def kit_works(left_agent, right_agent):
    @case(f"ice-kit-{left_agent}-{right_agent}", namespace=True)
    def beside():
        """Two of the others with each other: if that fails it is not ours that has broken."""
        cable = Cable()
        left = Agent(left_agent, "controlling", cable.left)
        right = Agent(right_agent, "controlled", cable.right)
        return f"{left_agent} → {connected(Session(left, right))}"

    return beside


kit_works("libnice", "aioice")
kit_works("pion", "libnice")
kit_works("chromium", "pion")
