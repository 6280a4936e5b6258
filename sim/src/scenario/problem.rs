//! What is wrong with a scenario, said so that its author finds the place and knows what to write instead.
//!
//! A problem is found either while the text is read, and then has a place in it, or in the finished
//! scenario, and then has a path of keys. Each is translated into the other by a second look at the text:
//! the parser's tree knows where every key stands.

use core::fmt;

use toml::de::{DeTable, DeValue};

/// The longest message. What a file says is part of it, and a file may say much.
const MAX_MESSAGE: usize = 2_000;

/// Why a text is no scenario, or a scenario no world.
///
/// ```
/// use bradawl_sim::scenario::Scenario;
///
/// let problem = Scenario::from_toml("time = '30 s'\nsead = 7\n").unwrap_err();
/// assert_eq!(problem.line(), Some(2));
/// assert_eq!(problem.key(), "sead");
/// assert!(problem.to_string().ends_with("did you mean `seed`?"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    path: Vec<Step>,
    message: String,
}

/// One step on the way from the whole to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Makes the [`Problem`] of a value: the keys that lead to it, and what to say, as in `format!`.
macro_rules! problem {
    ([$($step:expr),* $(,)?], $($text:tt)*) => {
        $crate::scenario::problem::Problem::new(vec![$($step.into()),*], &format!($($text)*))
    };
}
pub(super) use problem;

impl Problem {
    pub(super) fn new(path: Vec<Step>, message: &str) -> Self {
        Self { file: None, line: None, column: None, path, message: one_line(message) }
    }

    /// What the parser or serde has to say about `text`.
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let path = match (error.span(), DeTable::parse(text)) {
            (Some(span), Ok(tree)) => path_to(tree.get_ref(), span.start),
            _ => Vec::new(),
        };
        let mut problem = Self::new(path, &reworded(error.message()));
        if let Some(span) = error.span() {
            let (line, column) = position(text, span.start);
            problem.line = Some(line);
            problem.column = Some(column);
        }
        problem
    }

    /// The same with the line on which the value stands in `text`, or what is nearest to it.
    pub(super) fn located(mut self, text: &str) -> Self {
        self.line = DeTable::parse(text).ok().and_then(|tree| offset_of(tree.get_ref(), &self.path));
        self.line = self.line.map(|offset| position(text, offset).0);
        self
    }

    /// The same with the name of the file.
    #[must_use]
    pub fn in_file(self, name: impl Into<String>) -> Self {
        Self { file: Some(name.into()), ..self }
    }

    /// The line of the text, counted from 1, if there is a text.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// The value that is wrong, as the keys that lead to it: `host.alice.in`, `fault[0].reboot`.
    pub fn key(&self) -> String {
        let mut key = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => key.push_str(&format!("[{index}]")),
                Step::Key(name) => {
                    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                    let dot = if key.is_empty() { "" } else { "." };
                    if !name.is_empty() && name.chars().all(bare) {
                        key.push_str(&format!("{dot}{}", short(name)));
                    } else {
                        key.push_str(&format!("{dot}{:?}", short(name)));
                    }
                }
            }
        }
        key
    }

    /// What is wrong with it, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => write!(f, "{file}:{line}:{column}: ")?,
            (Some(file), Some(line), None) => write!(f, "{file}:{line}: ")?,
            (Some(file), None, _) => write!(f, "{file}: ")?,
            (None, Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (None, Some(line), None) => write!(f, "line {line}: ")?,
            (None, None, _) => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.key())?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for Problem {}

/// Says what there is instead of `name`, and which of it is probably meant.
pub(crate) fn instead<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 40;
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "there are none".to_owned();
    }
    let mut text = format!("there are: {}", known[..known.len().min(MOST)].join(", "));
    if known.len() > MOST {
        text.push_str(&format!(" and {} more", known.len() - MOST));
    }
    if let Some(meant) = nearest(name, &known) {
        text.push_str(&format!("; did you mean `{meant}`?"));
    }
    text
}

/// What of `known` is so close to `name` that it is probably meant.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 40;
    if name.len() > LONGEST {
        return None;
    }
    let most = (name.chars().count() / 3).clamp(1, 3);
    let distances = known.iter().filter(|it| it.len() <= LONGEST).map(|it| (edits(name, it), *it));
    distances.min_by_key(|(edits, _)| *edits).filter(|(edits, _)| *edits <= most).map(|(_, it)| it)
}

/// How many letters are to be put in, left out, replaced or swapped with their neighbour to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(rows[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

/// serde's words about names that it does not know, in ours.
fn reworded(message: &str) -> String {
    let unknown = |prefix: &str| message.strip_prefix(prefix)?.rsplit_once("`, expected ");
    let quoted =
        |text: &'_ str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    if let Some((name, expected)) = unknown("unknown field `") {
        let known = quoted(expected);
        let known = instead(name, known.iter().map(String::as_str));
        return format!("there is no key `{}` here; {known}", short(name));
    }
    if let Some((name, expected)) = unknown("unknown variant `") {
        let known = quoted(expected);
        let known = instead(name, known.iter().map(String::as_str));
        return format!("there is no such value as `{}` here; {known}", short(name));
    }
    if let Some(name) = message.strip_prefix("missing field ") {
        return format!("{name} is missing");
    }
    message.to_owned()
}

/// A name as far as it fits into a message.
pub(super) fn short(name: &str) -> String {
    const LETTERS: usize = 40;
    match name.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// A message is one line of bearable length, whatever the file says.
fn one_line(message: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut line: String = message.chars().map(visible).take(MAX_MESSAGE).collect();
    if message.chars().nth(MAX_MESSAGE).is_some() {
        line.push('…');
    }
    line
}

/// Line and column of a byte, both counted from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    (line, 1 + String::from_utf8_lossy(&before[start..]).chars().count())
}

/// Where the last of `path` that exists begins.
fn offset_of(root: &DeTable<'_>, path: &[Step]) -> Option<usize> {
    let mut offset = None;
    let mut table = Some(root);
    let mut value: Option<&DeValue<'_>> = None;
    for step in path {
        let (start, next) = match step {
            Step::Key(key) => {
                let Some((key, next)) = table.and_then(|table| table.get_key_value(key.as_str())) else {
                    break;
                };
                (key.span().start, next)
            }
            Step::Index(index) => {
                let Some(next) = value.and_then(|value| value.get(*index)) else {
                    break;
                };
                (next.span().start, next)
            }
        };
        offset = Some(start);
        value = Some(next.get_ref());
        table = next.get_ref().as_table();
    }
    offset
}

/// The keys that lead to what stands at `offset`; the parser bounds how deep it can be.
fn path_to(table: &DeTable<'_>, offset: usize) -> Vec<Step> {
    for (key, value) in table {
        let mut path = path_in(value.get_ref(), offset);
        if !path.is_empty() || key.span().contains(&offset) || value.span().contains(&offset) {
            path.insert(0, Step::Key(key.get_ref().to_string()));
            return path;
        }
    }
    Vec::new()
}

fn path_in(value: &DeValue<'_>, offset: usize) -> Vec<Step> {
    if let Some(table) = value.as_table() {
        return path_to(table, offset);
    }
    for (index, item) in value.as_array().into_iter().flat_map(|array| array.iter()).enumerate() {
        let mut path = path_in(item.get_ref(), offset);
        if !path.is_empty() || item.span().contains(&offset) {
            path.insert(0, Step::Index(index));
            return path;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn what_is_meant_is_what_is_nearest() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("lna", "lan"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(nearest("simetric-random", &["home", "symmetric-random"]), Some("symmetric-random"));
        assert_eq!(nearest("home", &["internet", "lan-a"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), &["x"]), None);
    }
}
