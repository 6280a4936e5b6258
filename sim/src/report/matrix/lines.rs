//! A summary as JSON, one object per line: the matrix first, then a line per pair. So a baseline under
//! version control shows a difference of one line where one pair changed.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Pair, Summary};

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    v: Version,
    #[serde(flatten)]
    event: T,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event {
    Matrix {
        seed: u32,
        seeds: u32,
        nats: Vec<String>,
    },
    Pair(Pair),
    /// What `bradawl-sim matrix --json` prints beside the matrix is not part of it.
    Population {},
    /// The same.
    Failed {},
}

/// The version of the format: 1.
struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(de::Error::custom(format!("version {other} of the format is unknown; 1 is known"))),
        }
    }
}

/// Text that is no summary.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// A line is not one of ours.
    #[error("line {line} is no line of a matrix: {error}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The line that says what was run is not there.
    #[error("no line says what was run: one with \"event\":\"matrix\" is wanted")]
    NoMatrix,
}

impl Summary {
    /// As JSON, one object per line.
    pub fn to_json_lines(&self) -> String {
        let matrix = Event::Matrix { seed: self.seed, seeds: self.seeds, nats: self.nats.clone() };
        let pairs = self.pairs.iter().cloned().map(Event::Pair);
        let mut text = String::new();
        for event in core::iter::once(matrix).chain(pairs) {
            text += &serde_json::to_string(&Line { v: Version, event }).unwrap_or_default();
            text.push('\n');
        }
        text
    }

    /// From JSON, one object per line; empty lines do not matter.
    pub fn from_json_lines(text: &str) -> Result<Self, LinesError> {
        let mut summary = None;
        let mut pairs = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let parsed: Line<Event> =
                serde_json::from_str(line).map_err(|error| LinesError::Line { line: index + 1, error })?;
            match parsed.event {
                Event::Matrix { seed, seeds, nats } => {
                    summary = Some(Self { seed, seeds, nats, pairs: Vec::new() });
                }
                Event::Pair(pair) => pairs.push(pair),
                Event::Population {} | Event::Failed {} => {}
            }
        }
        summary.map(|summary| Self { pairs, ..summary }).ok_or(LinesError::NoMatrix)
    }
}
