//! A STUN client that takes a closed port for an answer.
//!
//! The client itself goes on to the end of its schedule whatever ICMP says, since anybody can forge
//! that. A person who has mistyped a port would rather know at once. So here a question ends when two
//! transmissions in a row were refused, each before the next was sent: who forges that without seeing
//! the packets must guess our port twice, half a second apart, and any true answer before then wins.

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Unreachable, Verdict};
use bradawl::stun::client::{Event, Failure, Request, RequestError, RequestId, StunClient};
use bradawl::time::Instant;

/// Transmissions in a row that must have been refused.
const REFUSALS: u8 = 2;

/// Asks each path one question.
pub struct Asker {
    client: StunClient,
    questions: Vec<Question>,
}

/// A question under way, on a path that no other one takes.
struct Question {
    id: RequestId,
    path: Path,
    /// How many transmissions in a row were refused, up to the last one.
    refused: u8,
    /// What was said about the last transmission, so that hearing it twice counts once.
    verdict: Option<Unreachable>,
}

impl Asker {
    /// Nobody is asked yet.
    pub fn new(client: StunClient) -> Self {
        Self { client, questions: Vec::new() }
    }

    /// Asks along `path`, which must have a socket of its own.
    pub fn ask(&mut self, now: Instant, path: Path, request: Request) -> Result<RequestId, RequestError> {
        let id = self.client.request(now, path, request)?;
        self.questions.push(Question { id, path, refused: 0, verdict: None });
        Ok(id)
    }

    /// A question that has been refused often enough: it ends.
    fn give_up(&mut self) -> Option<Event> {
        let index = self.questions.iter().position(|question| question.refused >= REFUSALS)?;
        let Question { id, verdict, .. } = self.questions.swap_remove(index);
        // An answer may have come first.
        self.client.cancel(id).then_some(Event::Failed { id, reason: Failure::TimedOut(verdict) })
    }
}

impl Machine for Asker {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        self.client.handle_input(now, path, meta, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        if let HostInput::Unreachable { path, kind } = input
            // What another try half a second later is unlikely to change.
            && matches!(kind, Unreachable::Port | Unreachable::Prohibited | Unreachable::Network)
            && let Some(question) = self.questions.iter_mut().find(|question| question.path == path)
            && question.verdict.replace(kind).is_none()
        {
            question.refused += 1;
        }
        self.client.handle_host(now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        if let Some(event) = self.give_up() {
            return Output::Event(event);
        }
        let output = self.client.poll_output(now, buf);
        match &output {
            Output::Transmit { path, .. } => {
                if let Some(question) = self.questions.iter_mut().find(|question| question.path == *path)
                    && question.verdict.take().is_none()
                {
                    // The one before met with silence.
                    question.refused = 0;
                }
            }
            Output::Event(Event::Answered(answer)) => self.questions.retain(|known| known.id != answer.id),
            Output::Event(Event::Failed { id, .. }) => self.questions.retain(|known| known.id != *id),
            _ => {}
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bradawl::machine::MIN_BUFFER;
    use bradawl::rng::Rng;
    use bradawl::time::Duration;

    fn path(remote: &str) -> Path {
        Path::udp("192.0.2.1:50000".parse().expect("an address"), remote.parse().expect("an address"))
    }

    /// Asks, says `hints` after each transmission, and returns how it ended and when.
    fn ends(hints: &[&[(Path, Unreachable)]]) -> (Event, Duration) {
        let mut asker = Asker::new(StunClient::new(Rng::from_seed([1; 32])));
        let mut now = Instant::ZERO;
        asker.ask(now, path("198.51.100.1:3478"), Request::default()).expect("asked");
        let (mut buf, mut hints) = ([0; MIN_BUFFER], hints.iter());
        loop {
            match asker.poll_output(now, &mut buf) {
                Output::Event(event) => return (event, now.since(Instant::ZERO)),
                Output::Idle(next) => now = next.expect("it goes on"),
                _ => {
                    for &(path, kind) in hints.next().copied().unwrap_or_default() {
                        asker.handle_host(now, HostInput::Unreachable { path, kind });
                    }
                }
            }
        }
    }

    fn reason(event: Event) -> Failure {
        let Event::Failed { reason, .. } = event else { panic!("it failed") };
        reason
    }

    #[test]
    fn two_refusals_in_a_row_end_a_question() {
        let refused = (path("198.51.100.1:3478"), Unreachable::Port);
        let (event, took) = ends(&[&[refused], &[refused]]);
        assert_eq!(reason(event), Failure::TimedOut(Some(Unreachable::Port)));
        assert!(took < Duration::from_secs(1), "{took:?}");
        let (_, took) = ends(&[&[], &[refused], &[refused]]);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[test]
    fn anything_less_does_not() {
        let here = path("198.51.100.1:3478");
        let refused = (here, Unreachable::Port);
        let elsewhere = (path("198.51.100.1:3479"), Unreachable::Port);
        let full = Duration::from_millis(39_500);
        for hints in [
            &[&[refused, refused, refused][..]][..],
            &[&[refused], &[], &[refused], &[], &[refused]],
            &[&[elsewhere], &[elsewhere], &[elsewhere]],
            &[&[(here, Unreachable::Congested)], &[(here, Unreachable::Congested)]],
            &[&[(here, Unreachable::Host)], &[(here, Unreachable::Host)]],
        ] {
            let (event, took) = ends(hints);
            assert!(matches!(reason(event), Failure::TimedOut(_)));
            assert_eq!(took, full, "{hints:?}");
        }
    }
}
