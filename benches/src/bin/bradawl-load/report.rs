//! What is said at the end.

use std::fmt::Write;

use crate::load::Outcome;
use crate::usage::Usage;

/// Above this share of lost requests it is worth saying why that may be.
const SUSPICIOUS: f64 = 0.001;

pub(crate) struct Report<'a> {
    outcome: &'a Outcome,
    spent: Option<Usage>,
}

impl<'a> Report<'a> {
    pub(crate) const fn new(outcome: &'a Outcome, spent: Option<Usage>) -> Self {
        Self { outcome, spent }
    }

    fn per_second(&self) -> f64 {
        self.outcome.answered as f64 / self.outcome.elapsed.as_secs_f64()
    }

    fn loss(&self) -> f64 {
        self.outcome.lost as f64 / self.outcome.sent.max(1) as f64
    }

    /// Microseconds of the server's processor per answer: user, system, both.
    fn per_answer(&self) -> Option<[f64; 3]> {
        let spent = self.spent?;
        let per = |time: std::time::Duration| time.as_secs_f64() * 1e6 / self.outcome.answered.max(1) as f64;
        Some([per(spent.user), per(spent.system), per(spent.total())])
    }

    /// For people.
    pub(crate) fn text(&self, sources: usize) -> String {
        let Outcome { sent, answered, lost, wrong, elapsed, delays } = self.outcome;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "answered   {answered} of {sent} in {:.2} s: {:.0} per second",
            elapsed.as_secs_f64(),
            self.per_second()
        );
        let _ = writeln!(text, "lost       {lost} ({:.3} %)", self.loss() * 100.0);
        let _ = writeln!(text, "wrong      {wrong}");
        let _ =
            writeln!(text, "delay      p50 {} µs, p99 {} µs", delays.quantile(0.5), delays.quantile(0.99));
        if let Some([user, system, both]) = self.per_answer() {
            let _ = writeln!(
                text,
                "server     {both:.2} µs of processor per answer (user {user:.2}, system {system:.2})"
            );
        }
        if *answered == 0 {
            text.push_str("note       nothing was answered: is the server there?\n");
        } else if self.loss() > SUSPICIOUS {
            let each = self.per_second() / sources as f64;
            let _ = writeln!(
                text,
                "note       {sources} addresses were answered {each:.0} times a second each; if that is the server's \
                 limit, ask from more with --sources, and if not, its socket overflows: lower --in-flight"
            );
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let Outcome { sent, answered, lost, wrong, elapsed, delays } = self.outcome;
        let (p50, p99) = (delays.quantile(0.5), delays.quantile(0.99));
        let cpu = self.per_answer().map_or(String::new(), |[user, system, both]| {
            format!(r#","cpu_us":{both:.4},"cpu_user_us":{user:.4},"cpu_system_us":{system:.4}"#)
        });
        format!(
            "{{\"v\":1,\"sent\":{sent},\"answered\":{answered},\"lost\":{lost},\"wrong\":{wrong},\"seconds\":{:.4},\
             \"per_second\":{:.1},\"p50_us\":{p50},\"p99_us\":{p99}{cpu}}}\n",
            elapsed.as_secs_f64(),
            self.per_second()
        )
    }
}
