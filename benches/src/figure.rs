//! Numbers as the tables of the benches print them, and what they are taken from.

/// A number for a narrow column: thousands apart, decimals only where they matter; `–` for none.
///
/// ```
/// use bradawl_benches::figure::number;
///
/// assert_eq!(number(Some(1_234_567.8)), "1,234,568");
/// assert_eq!(number(Some(12.34)), "12.3");
/// assert_eq!(number(None), "–");
/// ```
pub fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    if value != value.round() && value < 1_000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// Values in order; what never came (`None`) is later than everything that did.
///
/// ```
/// use bradawl_benches::figure::Spread;
///
/// let spread: Spread<u32> = [Some(30), None, Some(10), Some(20)].into_iter().collect();
/// assert_eq!((spread.median(), spread.percentile(75)), (Some(20), Some(30)));
/// assert_eq!(spread.worst(), None);
/// ```
pub struct Spread<T>(Vec<Option<T>>);

impl<T: Ord + Copy> FromIterator<Option<T>> for Spread<T> {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(values: I) -> Self {
        let mut sorted: Vec<_> = values.into_iter().collect();
        sorted.sort_by_key(|value| (value.is_none(), *value));
        Self(sorted)
    }
}

impl<T: Copy> Spread<T> {
    /// The 50th percentile.
    pub fn median(&self) -> Option<T> {
        self.percentile(50)
    }

    /// By nearest rank; `None` if so many never came that it is one of them.
    pub fn percentile(&self, percent: usize) -> Option<T> {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.checked_sub(1)?).copied().flatten()
    }

    /// The slowest, or the largest.
    pub fn worst(&self) -> Option<T> {
        self.percentile(100)
    }
}
