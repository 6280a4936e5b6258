//! The lines: what they say, and how they are written.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bradawl::punch::{Credentials, Described, Malformed, Party, Role};
use serde::{Deserialize, Serialize};

/// The longest datagram that is sent: what UDP carries over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;

/// What agents of ours call themselves.
pub(super) const OURS: &str = "bradawl";

/// What a line wants done.
///
/// ```
/// use bradawl_host::cli::ice::Command;
///
/// let command = Command::parse(br#"{"type":"send","data":"aGVsbG8="}"#)?;
/// assert!(matches!(command, Command::Send(data) if data == b"hello"));
/// assert!(Command::parse(br#"{"type":"dance"}"#).is_err());
/// # Ok::<(), bradawl_host::cli::ice::Unusable>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The other end's credentials, and what kind of agent it is.
    Remote(Box<Credentials>, Party),
    /// Where the other end may be.
    Candidate(Described),
    /// It has no more of them.
    EndOfCandidates,
    /// To be sent, as one datagram.
    Send(Vec<u8>),
    /// New credentials.
    Restart,
    /// The end.
    Close,
}

/// Why a line cannot be used.
///
/// ```
/// use bradawl_host::cli::ice::{Command, Unusable};
///
/// let short = Command::parse(br#"{"type":"remote","ufrag":"F7gI","pwd":"short"}"#);
/// assert_eq!(short, Err(Unusable::Credentials));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It is no JSON, or not one of the lines that there are.
    #[error("{0}")]
    Json(String),
    /// The credentials are not as RFC 8839 wants them.
    #[error("credentials are letters, digits, + and /: 4 to 256 for ufrag, 22 to 256 for pwd")]
    Credentials,
    /// The candidate cannot be read.
    #[error("the candidate cannot be read: {0}")]
    Candidate(#[from] Malformed),
    /// The data is not in base64.
    #[error("data is in base64, with padding")]
    Base64,
    /// The data fits into no datagram.
    #[error("a datagram has 1 to {MAX_DATAGRAM} bytes")]
    Length,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Heard {
    Remote {
        ufrag: String,
        pwd: String,
        #[serde(default)]
        lite: bool,
        #[serde(default, rename = "impl")]
        implementation: Option<String>,
    },
    Candidate {
        candidate: String,
    },
    EndOfCandidates,
    Send {
        data: String,
    },
    Restart,
    Close,
}

impl Command {
    /// Reads a line.
    pub fn parse(line: &[u8]) -> Result<Self, Unusable> {
        let heard = serde_json::from_slice(line).map_err(|error| Unusable::Json(error.to_string()))?;
        Ok(match heard {
            Heard::Remote { ufrag, pwd, lite, implementation } => {
                let credentials = Credentials::new(&ufrag, &pwd).ok_or(Unusable::Credentials)?;
                let party = match implementation.as_deref() {
                    _ if lite => Party::Lite,
                    Some(OURS) => Party::Kin,
                    _ => Party::Foreign,
                };
                Self::Remote(Box::new(credentials), party)
            }
            Heard::Candidate { candidate } => Self::Candidate(candidate.parse()?),
            Heard::EndOfCandidates => Self::EndOfCandidates,
            Heard::Send { data } => {
                let data = STANDARD.decode(data).map_err(|_| Unusable::Base64)?;
                if !(1..=MAX_DATAGRAM).contains(&data.len()) {
                    return Err(Unusable::Length);
                }
                Self::Send(data)
            }
            Heard::Restart => Self::Restart,
            Heard::Close => Self::Close,
        })
    }
}

/// What we say.
///
/// ```
/// use bradawl_host::cli::ice::Said;
/// assert_eq!(Said::recv(b"hello").line(), "{\"type\":\"recv\",\"data\":\"aGVsbG8=\"}\n");
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Said {
    /// Our credentials: what the other end is to be told as `remote`.
    Local {
        /// The user fragment.
        ufrag: String,
        /// The password.
        pwd: String,
        /// `controlling` or `controlled`.
        role: &'static str,
        /// Whether we only answer.
        lite: bool,
        /// Who we are.
        #[serde(rename = "impl")]
        implementation: &'static str,
    },
    /// Where we may be.
    Candidate {
        /// As SDP has it.
        candidate: String,
    },
    /// There are no more of them.
    EndOfCandidates,
    /// How it goes.
    State {
        /// `checking`, `connected`, `disconnected`, `failed` or `closed`.
        state: &'static str,
    },
    /// The path that is used from now on.
    Selected {
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Whether it is we who decide.
        controlling: bool,
    },
    /// A datagram has come.
    Recv {
        /// In base64.
        data: String,
    },
    /// A line was of no use.
    Error {
        /// Why.
        message: String,
    },
}

impl Said {
    /// Our credentials.
    pub fn local(ours: &Credentials, role: Role) -> Self {
        let role = match role {
            Role::Controlling => "controlling",
            Role::Controlled => "controlled",
        };
        let (ufrag, pwd) = (ours.ufrag().to_owned(), ours.pwd().to_owned());
        Self::Local { ufrag, pwd, role, lite: false, implementation: OURS }
    }

    /// A datagram has come.
    pub fn recv(data: &[u8]) -> Self {
        Self::Recv { data: STANDARD.encode(data) }
    }

    /// As a line, with its end.
    pub fn line(&self) -> String {
        // There is nothing in it that JSON could not say.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}
