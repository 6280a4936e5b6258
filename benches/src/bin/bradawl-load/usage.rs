//! What a process has spent of the processor, from `/proc`.

use std::fs;
use std::time::Duration;

/// Processor time of all threads of a process, those that have ended included.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Usage {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Reads `/proc/PID/stat`; see proc(5), fields 14 and 15.
pub(crate) fn of(pid: u32) -> Result<Usage, String> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("process {pid}: {error}"))?;
    // The second field is the program's name in brackets, and may hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    match (ticks.next(), ticks.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(Usage { user: duration(user), system: duration(system) }),
        _ => Err(format!("process {pid}: its stat file makes no sense")),
    }
}

fn duration(ticks: u64) -> Duration {
    // SAFETY: no memory is involved.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}
