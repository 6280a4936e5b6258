//! Priming: a NAT that takes an early packet for one to itself may give the port away that its host is about
//! to use (netfilter does, where nothing else stops such packets).
//!
//! So the first checks to a peer behind one pass our own NAT and die of too many hops behind it: our filter
//! is open, and theirs has seen nothing. As soon as the peer is heard, or after the time by which it has
//! surely begun, checks have all their hops again.

use super::agent::Agent;
use super::pairs::Slot;
use crate::machine::SocketId;
use crate::time::{Duration, Instant};

/// How long checks are kept from arriving: as long as the two sides may begin apart.
pub const PRIMING: Duration = Duration::from_millis(140);
/// Past our own NAT and no further; a carrier's NAT is one more.
const HOPS: u8 = 2;

impl Agent {
    /// Under which number the host knows the socket at `base`, so that its hop limit can be set. An agent that
    /// is not told does not prime.
    pub fn name_local(&mut self, base: core::net::SocketAddr, id: SocketId) {
        if let Some(known) = self.bases.iter_mut().find(|known| known.local == base) {
            known.id = Some(id);
        }
    }

    /// If a check on this pair is to die on its way, which socket it leaves from.
    pub(super) fn primed(&self, now: Instant, slot: Slot) -> Option<SocketId> {
        let until = self.tactics.priming_until.filter(|until| now < *until)?;
        let pair = self.pairs.pair(slot)?;
        let is_quiet = !pair.is_heard && self.quiet_until <= until && self.selected.is_none();
        let of_base = self.bases.iter().find(|base| base.local == pair.path.local).and_then(|base| base.id);
        of_base.or_else(|| self.tactics.extras.id_of(pair.path.local)).filter(|_| is_quiet)
    }

    /// How many hops a check has that is to get through our own NAT and no further.
    pub(super) fn hops(&self) -> u8 {
        HOPS + u8::from(self.config.nat.is_behind_carrier)
    }
}
