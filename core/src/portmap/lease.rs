//! One mapping at one router: three protocols race for it, the best that grants it keeps it.
//!
//! The better protocol gets a head start. Who grants first is used at once; if a better one grants later,
//! it takes over and the worse is deleted, so that nothing stays mapped that nobody renews.

use core::net::{IpAddr, SocketAddr};

use alloc::collections::VecDeque;

use super::config::{Event, Mapped, MappingId, Protocol, Refusal, Via};
use super::pcp::Nonce;
use super::retry;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The longest lifetime that is believed.
const MAX_LIFETIME: Duration = Duration::from_secs(86_400);

/// A shorter one is of no use: it would run out before it can be renewed.
const MIN_LIFETIME: Duration = Duration::from_secs(16);

/// What the program asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) id: MappingId,
    pub(super) protocol: Protocol,
    pub(super) internal_port: u16,
    /// 0 is any.
    pub(super) external_port: u16,
}

/// How far one protocol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not spoken here, not allowed, or over.
    Off,
    /// A better one has it, or this one has been silent for long.
    Parked,
    /// Begins at `next`.
    Waiting,
    /// Asks again at `next`.
    Asking,
    /// Has it, and renews it at `next`.
    Holding,
    /// Was refused, and begins anew at `next`.
    Refused,
    /// Asks again to have it deleted at `next`.
    Deleting,
}

/// What a router granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) port: u16,
    /// Where the router tells it apart from the port, it may not be known yet.
    pub(super) address: Option<IpAddr>,
    /// `None` is for ever.
    pub(super) lifetime: Option<Duration>,
    pub(super) since: Instant,
    pub(super) expires: Instant,
}

/// One protocol's part in the race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) stage: Stage,
    pub(super) next: Instant,
    /// How often it was asked in this stage.
    pub(super) tries: u8,
    /// Something was asked that is not answered yet. Nothing else counts as an answer.
    pub(super) awaiting: bool,
    pub(super) grant: Option<Grant>,
    pub(super) refusal: Option<Refusal>,
}

impl Attempt {
    const OFF: Self = Self {
        stage: Stage::Off,
        next: Instant::FAR_FUTURE,
        tries: 0,
        awaiting: false,
        grant: None,
        refusal: None,
    };

    pub(super) fn enter(&mut self, stage: Stage, next: Instant) {
        (self.stage, self.next, self.tries) = (stage, next, 0);
    }

    /// Has anything to do at some time.
    fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Asking | Stage::Holding | Stage::Deleting)
    }

    /// Whether an answer is about the deletion that was asked for: not one to an earlier request, which
    /// may have been under way, and whose grant is still to be deleted.
    pub(super) fn is_deleted_by(&self, is_success: bool, lifetime: u32) -> bool {
        self.tries > 0 && (!is_success || lifetime == 0)
    }

    pub(super) fn deadline(&self) -> Instant {
        let expires = self.grant.map_or(Instant::FAR_FUTURE, |grant| grant.expires);
        if matches!(self.stage, Stage::Off | Stage::Parked) { expires } else { self.next.min(expires) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) wish: Wish,
    pub(super) nonce: Nonce,
    attempts: [Attempt; 3],
    pub(super) igd: IgdWish,
    told: Option<(Via, SocketAddr)>,
    /// The program does not want it any more.
    pub(super) leaving: bool,
}

/// What has to be remembered of what a gateway did not like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IgdWish {
    /// The port asked for instead of the wished one; 0 if none.
    pub(super) port: u16,
    /// Only for ever.
    pub(super) permanent: bool,
    /// Not by AddAnyPortMapping.
    pub(super) plain: bool,
    /// How many times something was taken or not liked in this round.
    pub(super) adjusted: u8,
}

impl Lease {
    pub(super) fn new(wish: Wish, rng: &mut Rng) -> Self {
        Self {
            wish,
            nonce: rng.bytes(),
            attempts: [Attempt::OFF; 3],
            igd: IgdWish::default(),
            told: None,
            leaving: false,
        }
    }

    pub(super) fn attempt(&self, via: Via) -> &Attempt {
        &self.attempts[via as usize]
    }

    pub(super) fn attempt_mut(&mut self, via: Via) -> &mut Attempt {
        &mut self.attempts[via as usize]
    }

    /// The race begins, among those that are `spoken`.
    pub(super) fn begin(&mut self, now: Instant, spoken: impl Fn(Via) -> bool) {
        let mut start = now;
        self.igd.adjusted = 0;
        for via in Via::ALL {
            let attempt = self.attempt_mut(via);
            *attempt = Attempt::OFF;
            if spoken(via) {
                attempt.enter(Stage::Waiting, start);
                // UPnP is slow to find and is searched for beside NAT-PMP.
                start = now + retry::HEAD_START;
            }
        }
    }

    /// The best protocol that has it, with everything known.
    pub(super) fn best(&self) -> Option<(Via, Grant, SocketAddr)> {
        Via::ALL.into_iter().find_map(|via| {
            let attempt = self.attempt(via);
            let grant = attempt.grant.filter(|_| attempt.stage != Stage::Deleting)?;
            Some((via, grant, SocketAddr::new(grant.address?, grant.port)))
        })
    }

    /// A router granted it: renewals begin. Lifetimes that make no sense are a refusal.
    pub(super) fn grant(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        via: Via,
        port: u16,
        address: Option<IpAddr>,
        lifetime: Duration,
    ) -> bool {
        if port == 0 || lifetime < MIN_LIFETIME {
            self.refuse(now, via, Refusal::Nonsense, retry::ASK_AGAIN);
            return false;
        }
        let lifetime = lifetime.min(MAX_LIFETIME);
        let grant = Grant { port, address, lifetime: Some(lifetime), since: now, expires: now + lifetime };
        self.hold(via, grant, Instant::FAR_FUTURE);
        let attempt = self.attempt_mut(via);
        attempt.next = retry::renewal(rng, now, now, lifetime, 0).unwrap_or(Instant::FAR_FUTURE);
        if self.leaving {
            self.delete(now, via);
        }
        true
    }

    pub(super) fn hold(&mut self, via: Via, grant: Grant, next: Instant) {
        let attempt = self.attempt_mut(via);
        attempt.enter(Stage::Holding, next);
        attempt.awaiting = false;
        attempt.grant = Some(grant);
        attempt.refusal = None;
    }

    /// A router refused. What it granted before and is not sure to have any more is gone; what is merely
    /// not renewed lasts until its time is over.
    pub(super) fn refuse(&mut self, now: Instant, via: Via, reason: Refusal, again: Duration) {
        let attempt = self.attempt_mut(via);
        attempt.awaiting = false;
        match attempt.stage {
            Stage::Holding | Stage::Off | Stage::Parked => return,
            Stage::Deleting => return self.deleted(now, via),
            _ => {}
        }
        attempt.grant = None;
        attempt.refusal = Some(reason);
        attempt.enter(Stage::Refused, now + again);
        if self.best().is_none() {
            self.unpark(now);
        }
        self.hurry(now);
    }

    /// Nobody has it any more: those that had given way to who had it take part again.
    fn unpark(&mut self, now: Instant) {
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.stage == Stage::Parked) {
            attempt.enter(Stage::Waiting, now + retry::HEAD_START);
        }
    }

    /// This protocol is not spoken here at all.
    pub(super) fn rule_out(&mut self, now: Instant, via: Via, reason: Refusal) {
        let attempt = self.attempt_mut(via);
        if matches!(attempt.stage, Stage::Waiting | Stage::Asking | Stage::Refused) && attempt.grant.is_none()
        {
            attempt.refusal = Some(reason);
            attempt.awaiting = false;
            attempt.enter(Stage::Off, Instant::FAR_FUTURE);
            self.hurry(now);
        } else if attempt.stage == Stage::Deleting {
            self.deleted(now, via);
        }
    }

    /// A protocol is out of the race: the next one begins, and has its head start before those after it.
    fn hurry(&mut self, now: Instant) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.stage == Stage::Waiting) {
            attempt.next = attempt.next.min(now);
        }
    }

    /// Perhaps nobody answers: all others begin.
    pub(super) fn hurry_all(&mut self, now: Instant) {
        for attempt in self.attempts.iter_mut().filter(|attempt| attempt.stage == Stage::Waiting) {
            attempt.next = attempt.next.min(now);
        }
    }

    /// The router may have lost it: it is asked for again.
    pub(super) fn recover(&mut self, via: Via, at: Instant) {
        let attempt = self.attempt_mut(via);
        if attempt.grant.is_some() && matches!(attempt.stage, Stage::Holding | Stage::Asking) {
            attempt.enter(Stage::Asking, at);
        }
    }

    pub(super) fn delete(&mut self, now: Instant, via: Via) {
        self.attempt_mut(via).enter(Stage::Deleting, now);
    }

    /// It is deleted, or nobody says so. If another protocol has it, that is asked once more: the router
    /// may have deleted more than it should.
    pub(super) fn deleted(&mut self, now: Instant, via: Via) {
        let stage = if self.leaving { Stage::Off } else { Stage::Parked };
        let attempt = self.attempt_mut(via);
        attempt.enter(stage, Instant::FAR_FUTURE);
        (attempt.awaiting, attempt.grant) = (false, None);
        if let Some((best, ..)) = self.best().filter(|_| !self.leaving) {
            let attempt = self.attempt_mut(best);
            attempt.next = attempt.next.min(now);
        }
    }

    /// The program does not want it any more: what is granted, or may be, is deleted.
    pub(super) fn leave(&mut self, now: Instant) {
        // Who is silent where another protocol answers has not granted anything either.
        let is_held = self.best().is_some();
        self.leaving = true;
        self.told = None;
        for via in Via::ALL {
            let attempt = self.attempt_mut(via);
            let asked = attempt.awaiting && via != Via::Igd && !is_held;
            if attempt.stage == Stage::Deleting {
                continue;
            } else if attempt.grant.is_some() || asked {
                self.delete(now, via);
            } else {
                attempt.enter(Stage::Off, Instant::FAR_FUTURE);
            }
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.leaving && self.attempts.iter().all(|attempt| attempt.stage != Stage::Deleting)
    }

    /// What has run out is dropped. Whether that was the last that there was: the race begins anew.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut expired = false;
        for via in Via::ALL {
            let attempt = self.attempt_mut(via);
            if attempt.grant.is_some_and(|grant| grant.expires <= now) {
                expired = true;
                match attempt.stage {
                    Stage::Deleting => self.deleted(now, via),
                    _ => attempt.grant = None,
                }
            }
        }
        expired && !self.leaving && self.attempts.iter().all(|attempt| attempt.grant.is_none())
    }

    /// Tells what has changed, and sends home those who lost. `renewed` is who was just granted it.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        router: IpAddr,
        renewed: Option<Via>,
        events: &mut VecDeque<Event>,
    ) {
        if self.leaving {
            return;
        }
        let id = self.wish.id;
        let Some((via, grant, external)) = self.best() else {
            if let Some((via, external)) = self.told.take() {
                events.push_back(Event::Lost { id, external, via, router });
            }
            return;
        };
        let mapped = Mapped { id, external, via, router, lifetime: grant.lifetime };
        let event = match self.told.replace((via, external)) {
            None => Some(Event::Mapped(mapped)),
            Some(before) if before != (via, external) => Some(Event::Changed(mapped)),
            Some(_) => (renewed == Some(via)).then_some(Event::Renewed(mapped)),
        };
        events.extend(event);
        for worse in Via::ALL.into_iter().filter(|&worse| worse > via) {
            let attempt = self.attempt_mut(worse);
            match attempt.stage {
                Stage::Deleting | Stage::Off | Stage::Parked => {}
                // The same entry of the router's table: to delete it would delete both.
                _ if attempt.grant.is_some_and(|other| other.port == grant.port) => {
                    attempt.grant = None;
                    attempt.enter(Stage::Parked, Instant::FAR_FUTURE);
                }
                _ if attempt.grant.is_some() => self.delete(now, worse),
                _ => attempt.enter(Stage::Parked, Instant::FAR_FUTURE),
            }
        }
    }

    pub(super) fn is_mapped(&self) -> bool {
        self.told.is_some()
    }

    /// Nobody is being asked.
    pub(super) fn is_exhausted(&self) -> bool {
        !self.attempts.iter().any(Attempt::is_busy)
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.attempts.iter().filter_map(|attempt| attempt.refusal).max()
    }
}
