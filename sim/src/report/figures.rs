//! Numbers as people read them, made from integers.

use core::fmt;

/// A part of a whole, in percent. It never says 0 or 100 of what is neither: one failure in a thousand
/// runs must stay visible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) part: u32,
    pub(super) of: u32,
}

impl Share {
    /// In whole percent; `None` of nothing.
    pub(super) fn percent(self) -> Option<u64> {
        let (part, of) = (u64::from(self.part), u64::from(self.of));
        (part * 100 + of / 2).checked_div(of)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.percent() {
            None => f.pad("–"),
            Some(0) if self.part > 0 => f.pad("<1"),
            Some(100) if self.part < self.of => f.pad(">99"),
            Some(percent) => f.pad(&percent.to_string()),
        }
    }
}

/// A share to a tenth of a percent, of sums that may be large. Rounded down: see [`Share`].
pub(crate) fn tenths_of_percent(part: u64, of: u64) -> String {
    match (u128::from(part) * 1_000).checked_div(u128::from(of)) {
        None => "–".to_owned(),
        Some(0) if part > 0 => "<0.1 %".to_owned(),
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// A count, with a comma between thousands.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long something took, in about three digits.
pub(crate) fn lasted(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..10_000_000 => format!("{}.{:02} s", micros / 1_000_000, micros / 10_000 % 100),
        _ => format!("{} s", grouped(micros / 1_000_000)),
    }
}

/// A moment of a run, to be read in a column of others.
pub(crate) fn clock(micros: u64) -> String {
    match micros {
        0..10_000_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        10_000_000..600_000_000 => format!("{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000),
        _ => {
            let seconds = micros / 1_000_000;
            format!("{}:{:02}:{:02} h", seconds / 3_600, seconds / 60 % 60, seconds % 60)
        }
    }
}

/// `one thing`, `2 things`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(count)) }
}

/// At most `most` characters of a name; what was cut is an ellipsis.
pub(super) fn elided(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The binary logarithm in steps of 1/65,536, of 1 at least: bit by bit, so that it is the same everywhere.
pub(super) fn log2(value: u64) -> i64 {
    let value = value.max(1);
    let whole = value.ilog2();
    let mut mantissa = (u128::from(value) << 32) >> whole;
    let mut bits = i64::from(whole);
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 32;
        let bit = mantissa >> 33;
        mantissa >>= bit;
        bits = bits << 1 | i64::from(bit == 1);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::{Share, clock, counted, elided, grouped, lasted, log2, tenths_of_percent};

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        let share = |part, of| Share { part, of }.to_string();
        assert_eq!(share(0, 0), "–");
        assert_eq!(share(0, 9), "0");
        assert_eq!(share(1, 10_000), "<1");
        assert_eq!(share(9_999, 10_000), ">99");
        assert_eq!(share(2, 3), "67");
        assert_eq!(share(u32::MAX, u32::MAX), "100");
        assert_eq!(format!("{:>4}", Share { part: 1, of: 2 }), "  50");
        assert_eq!(tenths_of_percent(9_999, 10_000), "99.9 %");
        assert_eq!(tenths_of_percent(1, 10_000), "<0.1 %");
        assert_eq!(tenths_of_percent(0, 0), "–");
        assert_eq!(tenths_of_percent(u64::MAX, u64::MAX), "100.0 %");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [lasted(999), lasted(1_999), lasted(138_400), lasted(1_239_999)],
            ["999 µs", "1.9 ms", "138 ms", "1.23 s"]
        );
        assert_eq!(lasted(u32::MAX.into()), "4,294 s");
        assert_eq!([clock(0), clock(57_049), clock(12_345_678)], ["0.0 ms", "57.0 ms", "12.345 s"]);
        assert_eq!(clock(3_723_000_000), "1:02:03 h");
        assert_eq!([counted(1, "run", "runs"), counted(2_000, "run", "runs")], ["1 run", "2,000 runs"]);
        assert_eq!([elided("symmetric", 9), elided("symmetric", 5)], ["symmetric", "symm…"]);
    }

    #[test]
    fn logarithms_are_exact_where_they_can_be_and_rise() {
        for power in 0..64 {
            assert_eq!(log2(1 << power), power << 16);
        }
        assert_eq!(log2(0), 0);
        assert_eq!(log2(10), 217_705); // 3.32192… × 65,536, rounded down
        assert!((1..5_000).all(|value| log2(value) < log2(value + 1)));
        assert!(log2(u64::MAX) <= 64 << 16);
    }
}
