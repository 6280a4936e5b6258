//! What goes wrong, and how that is written: one key beside `at` says what, and its value to whom.

use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Something that goes wrong at some moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Fault {
    /// When.
    pub at: Span,
    /// What.
    pub what: Mishap,
}

/// What can go wrong. Written as one key beside `at`: `reboot = "home"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Mishap {
    /// The links of a host or network carry nothing for a while: `down = { of = "alice", for = "2 s" }`.
    Down {
        /// Whose.
        of: String,
        /// How long.
        time: Span,
    },
    /// A network's gateway forgets everything: `reboot = "lan-a"`.
    Reboot(String),
    /// A host gets other addresses: `readdress = "alice"`.
    Readdress(String),
    /// A host sleeps, and wakes with its clock moved: `sleep = { of = "alice", for = "20 s" }`.
    Sleep {
        /// Whose.
        of: String,
        /// How long.
        time: Span,
    },
    /// A host's program is killed, and started again after a while: `restart = { of = "alice", for = "2 s" }`.
    Restart {
        /// Whose.
        of: String,
        /// How long it is gone.
        time: Span,
    },
    /// Somebody on the internet sends a host so many packets, forged, replayed and garbled ones:
    /// `evil = { to = "alice", packets = 100 }`.
    Evil {
        /// To whom.
        to: String,
        /// How many.
        packets: u16,
    },
}

impl Mishap {
    /// The key it is written with.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Down { .. } => "down",
            Self::Reboot(_) => "reboot",
            Self::Readdress(_) => "readdress",
            Self::Sleep { .. } => "sleep",
            Self::Restart { .. } => "restart",
            Self::Evil { .. } => "evil",
        }
    }

    /// The host or network it happens to.
    pub fn whose(&self) -> &str {
        match self {
            Self::Reboot(name) | Self::Readdress(name) => name,
            Self::Down { of, .. } | Self::Sleep { of, .. } | Self::Restart { of, .. } => of,
            Self::Evil { to, .. } => to,
        }
    }

    /// How long it lasts, where it does.
    pub const fn lasts(&self) -> Option<Span> {
        match self {
            Self::Down { time, .. } | Self::Sleep { time, .. } | Self::Restart { time, .. } => Some(*time),
            Self::Reboot(_) | Self::Readdress(_) | Self::Evil { .. } => None,
        }
    }
}

/// A fault as it is written. serde's `flatten` cannot refuse unknown keys, so every key is named here.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    down: Option<Lasting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reboot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readdress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sleep: Option<Lasting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<Lasting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evil: Option<Packets>,
}

/// Something that happens to somebody for a while.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lasting {
    of: String,
    #[serde(rename = "for")]
    time: Span,
}

/// So many packets to somebody.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packets {
    to: String,
    packets: u16,
}

impl TryFrom<Written> for Fault {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { at, down, reboot, readdress, sleep, restart, evil } = written;
        let all = [
            down.map(|Lasting { of, time }| Mishap::Down { of, time }),
            reboot.map(Mishap::Reboot),
            readdress.map(Mishap::Readdress),
            sleep.map(|Lasting { of, time }| Mishap::Sleep { of, time }),
            restart.map(|Lasting { of, time }| Mishap::Restart { of, time }),
            evil.map(|Packets { to, packets }| Mishap::Evil { to, packets }),
        ];
        let mut there: Vec<Mishap> = all.into_iter().flatten().collect();
        let names: Vec<&str> = there.iter().map(Mishap::name).collect();
        let names = names.join(" and ");
        match (there.pop(), there.is_empty()) {
            (Some(what), true) => Ok(Self { at, what }),
            (Some(_), false) => Err(format!("{names} are a fault each: write a `[[fault]]` for each")),
            (None, _) => {
                Err("what happens is missing: one of down, reboot, readdress, sleep, restart, evil"
                    .to_owned())
            }
        }
    }
}

impl From<Fault> for Written {
    fn from(Fault { at, what }: Fault) -> Self {
        let written = Self { at, ..Self::default() };
        match what {
            Mishap::Down { of, time } => Self { down: Some(Lasting { of, time }), ..written },
            Mishap::Reboot(name) => Self { reboot: Some(name), ..written },
            Mishap::Readdress(name) => Self { readdress: Some(name), ..written },
            Mishap::Sleep { of, time } => Self { sleep: Some(Lasting { of, time }), ..written },
            Mishap::Restart { of, time } => Self { restart: Some(Lasting { of, time }), ..written },
            Mishap::Evil { to, packets } => Self { evil: Some(Packets { to, packets }), ..written },
        }
    }
}
