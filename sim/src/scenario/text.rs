//! Scenarios as text: TOML, read with errors that name the place, written so that people like to read it.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use super::problem::{Problem, problem};
use super::{MAX_BYTES, Scenario};
use crate::link::Quality;

impl Scenario {
    /// The scenario that a text describes, if it is one and can be run.
    ///
    /// ```
    /// use bradawl_sim::scenario::Scenario;
    ///
    /// let text = r#"
    ///     [host.hub]
    ///     run = "mediator"
    ///     in = "internet"
    ///
    ///     [host.alice]
    ///     run = "stun"
    ///     in = "lan-z"
    ///     server = "hub"
    /// "#;
    /// let problem = Scenario::from_toml(text).unwrap_err();
    /// let told = "line 8: host.alice.in: there is no network called `lan-z`; there are: internet";
    /// assert_eq!(problem.to_string(), told);
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, Problem> {
        fits(text.len())?;
        let scenario: Self = toml::from_str(text).map_err(|error| Problem::of_toml(text, &error))?;
        scenario.check().map_err(|problem| problem.located(text))?;
        Ok(scenario)
    }

    /// The same for what was read from a file: problems carry its name. Bytes, because a file may be anything.
    pub fn from_file(name: &str, content: &[u8]) -> Result<Self, Problem> {
        let scenario = fits(content.len()).and_then(|()| {
            let text = core::str::from_utf8(content);
            let text =
                text.map_err(|error| problem!([], "byte {} is not UTF-8 text", error.valid_up_to()))?;
            Self::from_toml(text)
        });
        scenario.map_err(|problem| problem.in_file(name))
    }

    /// As text that [`Scenario::from_toml`] reads again as the same.
    pub fn to_toml(&self) -> String {
        // Every type in it is one that TOML has, so this cannot fail.
        let root = Table::try_from(self).unwrap_or_default();
        let (mut top, mut rest) = (String::new(), String::new());
        for (key, value) in &root {
            match value {
                Value::Table(tables) => {
                    for (name, table) in tables {
                        let name = Value::String(name.clone());
                        section(&mut rest, &format!("[{key}.{}]", bare(&name)), table);
                    }
                }
                Value::Array(tables) => {
                    for table in tables {
                        section(&mut rest, &format!("[[{key}]]"), table);
                    }
                }
                value => line(&mut top, key, value),
            }
        }
        top + &rest
    }
}

/// The size comes first: everything else takes time and memory in proportion to it.
fn fits(bytes: usize) -> Result<(), Problem> {
    if bytes > MAX_BYTES {
        return Err(problem!([], "{bytes} bytes are too many: {} KiB at most", MAX_BYTES / 1_024));
    }
    Ok(())
}

/// A table with everything below it on one line each.
fn section(text: &mut String, header: &str, value: &Value) {
    text.push_str(&format!("\n{header}\n"));
    for (key, value) in value.as_table().into_iter().flatten() {
        line(text, key, value);
    }
}

fn line(text: &mut String, key: &str, value: &Value) {
    text.push_str(&format!("{key} = {value}\n"));
}

/// A name as a key: quoted only where it has to be.
fn bare(name: &Value) -> String {
    match name.as_str() {
        Some(it) if !it.is_empty() && it.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {
            it.to_owned()
        }
        _ => name.to_string(),
    }
}

/// Writes of a link only what is not perfect, as `{ delay = "20 ms", loss = "2 %" }`.
pub(super) fn write_link<S: Serializer>(link: &Quality, serializer: S) -> Result<S::Ok, S::Error> {
    let table = |link: &Quality| Table::try_from(link).unwrap_or_default();
    let (mut all, usual) = (table(link), table(&Quality::default()));
    all.retain(|key, value| usual.get(key) != Some(value));
    all.serialize(serializer)
}

/// Whether a link need not be written at all.
pub(super) fn is_perfect(link: &Quality) -> bool {
    *link == Quality::default()
}

/// Writes one name as itself, several as a list.
pub(super) fn write_names<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match names {
        [name] => serializer.serialize_str(name),
        names => names.serialize(serializer),
    }
}

/// Reads what [`write_names`] writes.
pub(super) fn read_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("the name of a network or a list of such names")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
            Ok(vec![name.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(name) = names.next_element()? {
                list.push(name);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(Names)
}
