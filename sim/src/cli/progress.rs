//! A bar on stderr while something takes long: on a terminal, and nowhere else. It has no colours.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for so many steps; without a number of them it only counts.
pub(super) fn bar(steps: Option<u64>, what: &str) -> ProgressBar {
    // indicatif draws on stderr, and nothing at all if that is no terminal.
    let bar = steps.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match steps {
        Some(_) => format!("{{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{eta}} to go"),
        None => format!("{{spinner}} {{human_pos}} {what} in {{elapsed}}, {{per_sec}}"),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
