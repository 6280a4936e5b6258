//! The units in which people write scenarios: `40 ms`, `2 %`, `10 Mbit/s`. Each is an integer inside, so
//! that a run is the same on every platform.

use core::fmt;
use core::str::FromStr;

use bradawl::rng::Rng;
use bradawl::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written as `250 us`, `40 ms`, `1.5 s`, `2 min` or `1 h`.
///
/// ```
/// use bradawl_sim::units::Span;
///
/// let span: Span = "1.5 s".parse()?;
/// assert_eq!(span, Span::from_millis(1_500));
/// assert_eq!(span.to_string(), "1.5 s");
/// assert_eq!("40 ms".parse::<Span>()?.to_string(), "40 ms");
/// assert!("40".parse::<Span>().unwrap_err().to_string().contains("a unit"));
/// # Ok::<(), bradawl_sim::units::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// None.
    pub const ZERO: Self = Self(0);

    const UNITS: [(&'static str, u64); 5] =
        [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

    /// So many microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// As microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// As the core's type.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.duration()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            |&&(_, micros): &&(&str, u64)| self.0 >= micros && self.0.is_multiple_of((micros / 10).max(1));
        let (unit, micros) = Self::UNITS.iter().find(whole).unwrap_or(&("us", 1));
        decimal(f, self.0, *micros)?;
        write!(f, " {unit}")
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let what = "a length of time such as `40 ms`, `1.5 s` or `2 min`";
        parse(text, &Self::UNITS, what).map(Self)
    }
}

/// How likely something is, written as `2 %`, in steps of a millionth.
///
/// ```
/// use bradawl_sim::units::Chance;
///
/// let loss: Chance = "2.5 %".parse()?;
/// assert_eq!(loss, Chance::from_ppm(25_000));
/// assert_eq!(loss.to_string(), "2.5 %");
/// assert!("102 %".parse::<Chance>().is_err());
/// # Ok::<(), bradawl_sim::units::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chance(u32);

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(1_000_000);

    const UNITS: [(&'static str, u64); 2] = [("%", 10_000), ("ppm", 1)];

    /// So many in a million; more than a million are a million.
    pub const fn from_ppm(ppm: u32) -> Self {
        if ppm > 1_000_000 { Self::ALWAYS } else { Self(ppm) }
    }

    /// So many in a hundred.
    pub const fn percent(percent: u32) -> Self {
        Self::from_ppm(percent.saturating_mul(10_000))
    }

    /// In a million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Whether it happens this time. Draws nothing where there is nothing to decide.
    pub fn happens(self, rng: &mut Rng) -> bool {
        match self {
            Self::NEVER => false,
            Self::ALWAYS => true,
            Self(ppm) => rng.below(1_000_000) < u64::from(ppm),
        }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, u64::from(self.0), 10_000)?;
        f.write_str(" %")
    }
}

impl FromStr for Chance {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let what = "a probability from `0 %` to `100 %`";
        let ppm = parse(text, &Self::UNITS, what)?;
        u32::try_from(ppm).ok().filter(|&ppm| ppm <= 1_000_000).map(Self).ok_or(UnitError { what })
    }
}

/// How many bits per second, written as `56 kbit/s`, `10 Mbit/s` or `1 Gbit/s`. Never 0.
///
/// ```
/// use bradawl_sim::units::Rate;
///
/// let rate: Rate = "10 Mbit/s".parse()?;
/// assert_eq!(rate.to_string(), "10 Mbit/s");
/// assert_eq!(rate.time_for(1_250).as_micros(), 1_000);
/// assert!("0 Mbit/s".parse::<Rate>().is_err());
/// # Ok::<(), bradawl_sim::units::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    const UNITS: [(&'static str, u64); 4] =
        [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000), ("bit/s", 1)];

    /// So many bits per second; at least one.
    pub const fn from_bits(bits: u64) -> Self {
        if bits == 0 { Self(1) } else { Self(bits) }
    }

    /// In bits per second.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// How long so many bytes take.
    pub fn time_for(self, bytes: usize) -> Span {
        let bits = u128::from(bytes as u64) * 8 * 1_000_000;
        Span(u64::try_from(bits.div_ceil(u128::from(self.0))).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&&(_, bits): &&(&str, u64)| self.0 >= bits && self.0.is_multiple_of((bits / 10).max(1));
        let (unit, bits) = Self::UNITS.iter().find(whole).unwrap_or(&("bit/s", 1));
        decimal(f, self.0, *bits)?;
        write!(f, " {unit}")
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let what = "a rate above 0 such as `56 kbit/s` or `10 Mbit/s`";
        match parse(text, &Self::UNITS, what)? {
            0 => Err(UnitError { what }),
            bits => Ok(Self(bits)),
        }
    }
}

/// A quantity that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: a number and a unit are wanted")]
pub struct UnitError {
    what: &'static str,
}

/// A number with up to six digits behind the point, and one of `units`.
fn parse(text: &str, units: &[(&str, u64)], what: &'static str) -> Result<u64, UnitError> {
    let error = UnitError { what };
    let text = text.trim();
    let split = text.find(|c: char| c != '.' && !c.is_ascii_digit()).ok_or(error)?;
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let (_, scale) = units.iter().find(|(name, _)| *name == unit).ok_or(error)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 6 {
        return Err(error);
    }
    let whole: u64 = whole.parse().map_err(|_| error)?;
    let digits: u64 = fraction.parse().map_err(|_| error)?;
    let fraction = u128::from(digits) * u128::from(*scale) / 10u128.pow(fraction.len() as u32);
    let sum = u128::from(whole) * u128::from(*scale) + fraction;
    u64::try_from(sum).ok().filter(|&sum| sum <= i64::MAX as u64).ok_or(error)
}

/// `value` ÷ `unit`, exactly, for units that are powers of ten or have at most one digit behind the point.
fn decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64) -> fmt::Result {
    let (whole, mut rest) = (value / unit, value % unit);
    write!(f, "{whole}")?;
    if rest == 0 {
        return Ok(());
    }
    f.write_str(".")?;
    while rest != 0 {
        rest *= 10;
        write!(f, "{}", rest / unit)?;
        rest %= unit;
    }
    Ok(())
}

macro_rules! as_text {
    ($($unit:ident)*) => {$(
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error| de::Error::custom(format!("`{text}` is {error}")))
            }
        }
    )*};
}

as_text!(Span Chance Rate);

#[cfg(test)]
mod tests {
    use super::{Chance, Rate, Span};

    /// What is written is read again as what it was: a replay depends on it.
    #[test]
    fn every_value_survives_being_written() {
        for micros in
            (0..70).map(|power| 3u64.saturating_pow(power) % (1 << 62)).chain([60_000_000, 90_000_000])
        {
            assert_eq!(Span::from_micros(micros).to_string().parse(), Ok(Span::from_micros(micros)));
            let rate = Rate::from_bits(micros);
            assert_eq!(rate.to_string().parse(), Ok(rate), "{rate}");
        }
        for ppm in (0..=1_000_000).step_by(37) {
            assert_eq!(Chance::from_ppm(ppm).to_string().parse(), Ok(Chance::from_ppm(ppm)));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", " ", "ms", "40", "40 parsecs", "-1 s", "1..5 s", ".5 s", "5. s", "99999999999999999999 s"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["100.1 %", "101 %", "1", "2000000 ppm"] {
            assert!(text.parse::<Chance>().is_err(), "{text}");
        }
        assert!("0 bit/s".parse::<Rate>().is_err());
    }
}
