//! The table, its JSON, and the verdict on our targets.

use std::fmt::Write;

use bradawl_benches::figure::number;

use crate::library::{Entry, Row};
use crate::measure::Cost;

/// What was measured: `costs[row][column]`, `None` where a library has no such operation.
pub(crate) struct Table {
    pub(crate) entries: Vec<&'static Entry>,
    pub(crate) costs: Vec<(Row, Vec<Option<Cost>>)>,
}

/// The columns with a part of their own.
pub(crate) const FLOOR: usize = 0;
pub(crate) const OURS: usize = 1;

/// One of the three numbers of a cell.
type Measure = fn(&Cost) -> Option<f64>;

/// How much of the floor our ICE rows may cost.
const OVER_FLOOR: f64 = 1.1;

impl Table {
    /// For people: one block per measure.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let blocks: [(&str, Measure); 3] = [
            ("instructions per operation (callgrind)", |cost| cost.instructions),
            ("nanoseconds per operation (best round)", |cost| Some(cost.nanoseconds)),
            ("allocations per operation", |cost| Some(cost.allocations)),
        ];
        for (title, value) in blocks {
            if !self.costs.iter().flat_map(|(_, costs)| costs).flatten().any(|cost| value(cost).is_some()) {
                continue;
            }
            let _ = write!(text, "{title:<40}");
            for entry in &self.entries {
                let _ = write!(text, "{:>13}", entry.name);
            }
            text.push('\n');
            for (row, costs) in &self.costs {
                let _ = write!(text, "  {:<38}", row.name());
                for cost in costs {
                    let _ = write!(text, "{:>13}", number(cost.as_ref().and_then(value)));
                }
                text.push('\n');
            }
            text.push('\n');
        }
        for entry in self.entries.iter().filter(|entry| !entry.note.is_empty()) {
            let _ = writeln!(text, "{:<12} {}", entry.name, entry.note);
        }
        text
    }

    /// For programs: one object per cell.
    pub(crate) fn json(&self) -> String {
        let mut text = String::new();
        for (row, costs) in &self.costs {
            for (entry, cost) in self.entries.iter().zip(costs) {
                let Some(cost) = cost else { continue };
                let instructions = cost.instructions.map_or("null".to_owned(), |n| n.to_string());
                let _ = writeln!(
                    text,
                    r#"{{"v":1,"row":"{}","library":"{}","instructions":{instructions},"ns":{:.2},"allocations":{}}}"#,
                    row.name(),
                    entry.name,
                    cost.nanoseconds,
                    cost.allocations
                );
            }
        }
        text
    }

    /// Every target with what became of it; the second part says whether all are met.
    pub(crate) fn verdict(&self) -> (String, bool) {
        let mut text = String::new();
        let mut all = true;
        for (row, costs) in &self.costs {
            let Some(ours) = costs[OURS] else { continue };
            let mut line = |what: &str, ok: bool| {
                all &= ok;
                let _ = writeln!(text, "{} {:<24} {what}", if ok { "ok  " } else { "MISS" }, row.name());
            };
            line(
                &format!("{} allocations, target 0", number(Some(ours.allocations))),
                ours.allocations == 0.0,
            );
            let Some(cost) = ours.instructions else { continue };
            if let Some(floor) = costs[FLOOR].and_then(|floor| floor.instructions) {
                let ratio = cost / floor;
                line(&format!("{ratio:.3} × the floor, target ≤ {OVER_FLOOR}"), ratio <= OVER_FLOOR);
                continue;
            }
            let peers = self.entries.iter().zip(costs).skip(OURS + 1);
            let peers = peers.filter_map(|(entry, cost)| Some((entry.name, cost.as_ref()?.instructions?)));
            match peers.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
                Some((name, best)) => line(
                    &format!(
                        "{} instructions, best peer {} ({name})",
                        number(Some(cost)),
                        number(Some(best))
                    ),
                    cost <= best,
                ),
                None => line(&format!("{} instructions, no peer does this", number(Some(cost))), true),
            }
        }
        (text, all)
    }
}
