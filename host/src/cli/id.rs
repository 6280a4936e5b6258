//! `id`: who this peer is. It makes the key if there is none, and says so.

use std::fmt;
use std::path::PathBuf;

use bradawl::identity::PeerId;
use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Serialize;

use super::output::{Event, Printer, as_text};
use super::{Exit, Problem, say};
use crate::identity::{self, KeyFileError, VARIABLE};

/// The arguments of `id`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bradawl-peer id")]
pub struct Arguments {
    /// The file with the secret key, made if there is none [default: ~/.local/state/bradawl/key]
    #[arg(long, value_name = "FILE", env = VARIABLE, hide_env_values = true)]
    pub key: Option<PathBuf>,

    /// Print results as JSON, one object per line
    #[arg(long, env = "BRADAWL_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub json: bool,
}

/// Who this peer is.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// Its id.
    #[serde(serialize_with = "as_text")]
    pub id: PeerId,
    /// The file that its key is in, as far as that is text.
    pub file: String,
    /// Whether the key was made just now.
    pub new: bool,
}

impl Event for Identity {
    const NAME: &'static str = "id";
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// Does it.
pub fn run(arguments: &Arguments) -> Result<Exit, Problem> {
    let failed = |error: KeyFileError| Problem::new(Exit::Failed, error.to_string());
    let path = match &arguments.key {
        Some(path) => path.clone(),
        None => identity::default_place().map_err(failed)?,
    };
    let kept = identity::load_or_make(&path).map_err(failed)?;
    if kept.is_new {
        say(format_args!("made a new key: {}", path.display()));
    }
    let file = path.display().to_string();
    let identity = Identity { id: kept.key.id(), file, new: kept.is_new };
    Printer::new(arguments.json).print(&identity).map_err(|error| Problem::unprintable(&error))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bradawl::identity::SecretKey;

    #[test]
    fn an_id_is_printed_alone() {
        let identity =
            Identity { id: SecretKey::from_seed(&[1; 32]).id(), file: "/me/key".into(), new: true };
        let id = "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";
        assert_eq!(Printer::new(false).line(&identity).expect("a line"), id);
        assert_eq!(
            Printer::new(true).line(&identity).expect("a line"),
            format!(r#"{{"v":1,"event":"id","id":"{id}","file":"/me/key","new":true}}"#)
        );
    }
}
