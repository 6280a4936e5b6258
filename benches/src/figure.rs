//! Numbers as the tables of the benches print them.

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
