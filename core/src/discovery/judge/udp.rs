//! Does UDP pass?
//!
//! One answer shows that it does. That nobody answers may be everybody's fault but the network's.

use super::found;
use crate::discovery::Axis;
use crate::discovery::server::Server;

/// What an answer is worth, and a machine that says nothing; and all of these at most.
const ANSWER: u32 = 30;
const SILENCE: u32 = 5;
const MOST_SILENCE: u32 = 18;

/// Whether UDP passes; that it does not is said at the end only.
pub(in crate::discovery) fn udp(servers: &[Server], is_at_end: bool) -> Axis<bool> {
    if servers.iter().any(Server::is_heard) {
        return found(true, ANSWER);
    }
    // Several ports of one address are one machine, which may be off.
    let is_first = |&(at, server): &(usize, &Server)| {
        !servers[..at].iter().any(|earlier| earlier.address.ip() == server.address.ip())
    };
    let machines = servers.iter().enumerate().filter(is_first).count() as u32;
    let is_known = is_at_end && machines > 0;
    is_known.then(|| found(false, (SILENCE * machines).min(MOST_SILENCE))).flatten()
}

#[cfg(test)]
mod tests {
    use super::udp;
    use crate::discovery::Confidence;
    use crate::discovery::server::Server;

    #[test]
    fn ports_of_one_address_that_say_nothing_are_one_machine_that_does() {
        let blocked = |addresses: &[&str]| {
            let server = |text: &&str| Server::new(text.parse().expect("an address"));
            let servers: alloc::vec::Vec<_> = addresses.iter().map(server).collect();
            assert_eq!(udp(&servers, false), None, "somebody may answer yet");
            udp(&servers, true).filter(|finding| !finding.value).map(|finding| finding.confidence)
        };
        let one = blocked(&["192.0.2.1:3478"]);
        assert!(one.is_some_and(|confidence| confidence < Confidence::ENOUGH), "{one:?}");
        assert_eq!(blocked(&["192.0.2.1:3478", "192.0.2.1:3479"]), one);
        assert!(blocked(&["192.0.2.1:3478", "192.0.2.2:3478"]) > one);
        assert_eq!(blocked(&[]), None);
    }
}
