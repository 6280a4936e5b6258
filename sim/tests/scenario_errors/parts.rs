//! What can be wrong with networks, gateways, links and faults.

use super::{ALICE, BOB, HUB, LAN, refused};

#[test]
fn networks() {
    refused(&[
        (&[HUB], "[network.lan-a]\n", "line 4, column 1: network.lan-a: `behind` is missing"),
        (
            &[HUB],
            "[network.lan-a]\nbehind = 'hoem'",
            "line 5: network.lan-a.behind: there is no NAT called `hoem`; there are: {nats}; did you mean \
             `home`?",
        ),
        (
            &[HUB, LAN],
            "in = 'lan-b'",
            "line 6: network.lan-a.in: there is no network called `lan-b`; there are: internet, lan-a; \
             did you mean `lan-a`?",
        ),
        (&[HUB, LAN], "in = 'lan-a'", "line 6: network.lan-a.in: this leads round in a loop: lan-a in lan-a"),
        (
            &[HUB, LAN],
            "in = 'lan-b'\n[network.lan-b]\nbehind = 'home'\nin = 'lan-a'",
            "line 6: network.lan-a.in: this leads round in a loop: lan-a in lan-b in lan-a",
        ),
        (
            &[HUB],
            "[network.n0]\nbehind = 'home'\n[network.n1]\nbehind = 'home'\nin = 'n0'\n[network.n2]\n\
             behind = 'home'\nin = 'n1'\n[network.n3]\nbehind = 'home'\nin = 'n2'\n[network.n4]\n\
             behind = 'home'\nin = 'n3'\n[network.n5]\nbehind = 'home'\nin = 'n4'\n[network.n6]\n\
             behind = 'home'\nin = 'n5'\n[network.n7]\nbehind = 'home'\nin = 'n6'\n[network.n8]\n\
             behind = 'home'\nin = 'n7'\n",
            "line 29: network.n8.in: more than 8 networks inside each other: n8 in n7 in n6 in n5 in n4 \
             in n3 in n2 in n1 in n0 in internet",
        ),
        (
            &[HUB, LAN],
            "[network.lan-b]\nbehind = 'home'\nin = 'lan-a'\nipv6 = true",
            "line 9: network.lan-b.ipv6: `lan-a`, the network that it is in, has no IPv6",
        ),
        (
            &[HUB, LAN],
            "subnet = '192.168.1.1/24'",
            "line 6, column 10: network.lan-a.subnet: `192.168.1.1/24` is not where the subnet begins: \
             that is `192.168.1.0/24`",
        ),
        (
            &[HUB, LAN],
            "subnet = '192.168.1.0'",
            "line 6, column 10: network.lan-a.subnet: `192.168.1.0` is not a subnet such as \
             `192.168.7.0/24`",
        ),
        (
            &[HUB, LAN],
            "subnet = '192.168.1.0/30'",
            "line 6, column 10: network.lan-a.subnet: `192.168.1.0/30` is not a subnet of a sane size, \
             which is /8 to /29",
        ),
        (
            &[HUB, LAN],
            "subnet = '224.0.0.0/8'",
            "line 6, column 10: network.lan-a.subnet: `224.0.0.0/8` is not a subnet that hosts can live \
             in",
        ),
        (
            &[HUB],
            "[network.lan-a]\nbehind = 'open'\nsubnet = '10.0.0.0/8'",
            "line 6: network.lan-a.subnet: `open` does not translate, so hosts behind it have addresses \
             of `internet`",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[network.lan-c]\nbehind = 'home'\nin = 'lan-a'\n[network.lan-d]\nbehind = 'home'\n\
             subnet='10.0.0.0/29'\n[host.h0]\nrun = 'silent'\nin = 'lan-d'\n[host.h1]\nrun = 'silent'\n\
             in = 'lan-d'\n[host.h2]\nrun = 'silent'\nin = 'lan-d'\n[host.h3]\nrun = 'silent'\n\
             in = 'lan-d'\n[host.h4]\nrun = 'silent'\nin = 'lan-d'\n[host.h5]\nrun = 'silent'\n\
             in = 'lan-d'\n",
            "line 19: network.lan-d: 6 addresses are needed in `lan-d`, and 10.0.0.0/29 has 5",
        ),
    ]);
}

#[test]
fn gateways() {
    refused(&[
        (
            &[HUB],
            "[nat.mine]\nlike = 'hom'",
            "line 5: nat.mine.like: there is no NAT called `hom` in the catalogue; there are: {nats}; did \
             you mean `home`?",
        ),
        (
            &[HUB],
            "[nat.mine]\nmaping = 'endpoint'",
            "line 5, column 1: nat.mine.maping: there is no key `maping` here; there are: like, \
             addresses, firewall, mapping, filtering, allocation, overload, parity, contiguity, \
             well-known, ports, hairpin, pooling, lifetime, unreplied, probation, filter-lifetime, \
             refresh-outbound, refresh-inbound, early, tcp-established, tcp-transitory, refuse, \
             pass-errors, capacity, per-host, crowd; did you mean `mapping`?",
        ),
        (
            &[HUB],
            "[nat.mine]\nmapping = 'adress'",
            "line 5, column 11: nat.mine.mapping: there is no such value as `adress` here; there are: \
             endpoint, address, address-and-port; did you mean `address`?",
        ),
        (
            &[HUB],
            "[nat.mine]\nlike = 'open'\nmapping = 'address'",
            "line 6: nat.mine.mapping: `open` does not translate: there is nothing to change",
        ),
        (
            &[HUB],
            "[nat.mine]\nlike = 'open'\naddresses = 2",
            "line 6: nat.mine.addresses: what does not translate has no addresses",
        ),
        (&[HUB], "[nat.mine]\naddresses = 0", "line 5: nat.mine.addresses: 0 is not between 1 and 16"),
        (
            &[HUB],
            "[nat.mine]\nports = '2000-1000'",
            "line 5: nat.mine.ports: the port range is empty or begins with 0",
        ),
        (
            &[HUB],
            "[nat.mine]\nlifetime = '0 s'",
            "line 5: nat.mine.lifetime: a lifetime of 0 is no mapping at all",
        ),
        (
            &[HUB],
            "[nat.mine]\nunreplied = '0 s'",
            "line 5: nat.mine.unreplied: a lifetime of 0 is no mapping at all",
        ),
        (
            &[HUB],
            "[nat.mine]\ncrowd = 10001",
            "line 5: nat.mine.crowd: a crowd of more than 10000 mappings per second is not simulated",
        ),
        (
            &[HUB],
            "[nat.mine]\nallocation = { sequential = { step = 0 } }",
            "line 5: nat.mine.allocation: a sequential step or a block size of 0 leads nowhere",
        ),
        (
            &[HUB],
            "[nat.mine]\nfirewall = { lifetime = '0 s' }",
            "line 5: nat.mine.firewall.lifetime: a lifetime of 0 lets no answer in",
        ),
        (
            &[HUB],
            "[nat.mine]\nfirewall = { inbund = 'open' }",
            "line 5, column 14: nat.mine.firewall.inbund: there is no key `inbund` here; there are: \
             inbound, outbound, lifetime, reject; did you mean `inbound`?",
        ),
    ]);
}

#[test]
fn links() {
    refused(&[
        (
            &[HUB],
            "link = { dealy = '20 ms' }",
            "line 4, column 10: host.hub.link.dealy: there is no key `dealy` here; there are: delay, \
             jitter, loss, burst, burst-end, duplicate, reorder, hold, rate, queue, mtu; did you mean \
             `delay`?",
        ),
        (
            &[HUB],
            "link = { loss = '2' }",
            "line 4, column 17: host.hub.link.loss: `2` is not a probability from `0 %` to `100 %`: a \
             number and a unit are wanted",
        ),
        (
            &[HUB],
            "link = { loss = '120 %' }",
            "line 4, column 17: host.hub.link.loss: `120 %` is not a probability from `0 %` to `100 %`: a \
             number and a unit are wanted",
        ),
        (
            &[HUB],
            "link = { rate = '0 bit/s' }",
            "line 4, column 17: host.hub.link.rate: `0 bit/s` is not a rate above 0 such as `56 kbit/s` \
             or `10 Mbit/s`: a number and a unit are wanted",
        ),
        (&[HUB], "link = { delay = '2 min' }", "line 4: host.hub.link.delay: `delay` is longer than 1 min"),
        (
            &[HUB],
            "link = { burst = '1 %', burst-end = '0 %' }",
            "line 4: host.hub.link.burst-end: `burst-end` is 0 %, so the first burst would \
             never end",
        ),
        (
            &[HUB],
            "link = { queue = 100000000 }",
            "line 4: host.hub.link.queue: `queue` is longer than 67108864 bytes",
        ),
        (
            &[HUB],
            "link = { reorder = '10 %', hold = '0 s' }",
            "line 4: host.hub.link.hold: `hold` is 0, so `reorder` would reorder nothing",
        ),
        (&[HUB], "[host.hub.link]\nmtu = 500", "line 5: host.hub.link.mtu: `mtu` is less than 576"),
        (
            &[HUB, LAN],
            "link = { mtu = 70000 }",
            "line 6, column 16: network.lan-a.link.mtu: invalid value: integer `70000`, expected u16",
        ),
    ]);
}

#[test]
fn faults() {
    refused(&[
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nreboot = 'lan-a'",
            "line 16, column 1: fault[0]: `at` is missing",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'",
            "line 16, column 1: fault[0]: what happens is missing: one of down, reboot, readdress, sleep, \
             restart, evil",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nreboot = 'lan-a'\nreaddress = 'alice'",
            "line 16, column 1: fault[0]: reboot and readdress are a fault each: write a `[[fault]]` for \
             each",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nrebot = 'lan-a'",
            "line 18, column 1: fault[0].rebot: there is no key `rebot` here; there are: at, down, \
             reboot, readdress, sleep, restart, evil; did you mean `reboot`?",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '31 s'\nreboot = 'lan-a'",
            "line 17: fault[0].at: 31 s is after the end, which is at 30 s",
        ),
    ]);
}

#[test]
fn victims() {
    refused(&[
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nreboot = 'lan-b'",
            "line 18: fault[0].reboot: no network with a gateway is called `lan-b`; there are: lan-a; did \
             you mean `lan-a`?",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nreboot = 'alice'",
            "line 18: fault[0].reboot: `alice` is a host; networks have gateways; there are: lan-a",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nreboot = 'internet'",
            "line 18: fault[0].reboot: no network with a gateway is called `internet`; there are: lan-a",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\ndown = { of = 'alicia', for = '1 s' }",
            "line 18: fault[0].down: no host or network is called `alicia`; there are: alice, bob, hub, \
             lan-a; did you mean `alice`?",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\ndown = { of = 'alice' }",
            "line 18, column 8: fault[0].down: `for` is missing",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\ndown = { of = 'alice', for = '0 s' }",
            "line 18: fault[0].down.for: 0 us is not between 1 ms and 24 h",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nreaddress = 'lan-a'",
            "line 18: fault[0].readdress: `lan-a` is a network, not a host; there are: alice, bob, hub",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nreboot = 'lan-a'\n[[fault]]\nat = '2 s'\n\
             sleep = { of = 'carol', for = '1 s' }",
            "line 21: fault[1].sleep: there is no host called `carol`; there are: alice, bob, hub",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\n[fault.evil]\nto = 'alice'\npackets = 1001",
            "line 20: fault[0].evil.packets: 1001 is not between 1 and 1000",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[[fault]]\nat = '1 s'\nevil = { to = 'alice', packets = 0 }",
            "line 18: fault[0].evil.packets: 0 is not between 1 and 1000",
        ),
    ]);
}
