//! Drivers on plain threads, without a runtime: wait with `poll(2)`, turn, until told to stop.
//!
//! A server's stateless part runs like this. Each worker has a socket, a driver and a machine of
//! its own, all sockets share one port (`SO_REUSEPORT`), and the kernel gives every peer to one of
//! them, always the same. So workers share nothing, and twice as many do twice as much.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bradawl::machine::Machine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::driver::{Driver, Handle, Sink, SocketKey, Wait};

/// What makes readable mean "a datagram or an error": see [`Driver::sockets`].
const INCOMING: PollFlags = PollFlags::IN.union(PollFlags::PRI);

/// Tells every holder of the matching [`Stopped`] to stop, by being dropped.
#[derive(Debug)]
pub struct Stop(#[expect(dead_code, reason = "held open, never written to")] PipeWriter);

/// Becomes readable, for all who watch it and for ever, when its [`Stop`] is dropped.
#[derive(Clone, Debug)]
pub struct Stopped(Arc<OwnedFd>);

/// A pair of ends: drop the one, and whoever watches the other knows.
///
/// ```
/// let (stop, stopped) = bradawl_host::workers::stop()?;
/// let waiter = stopped.clone(); // as many as are needed
/// drop(stop);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stop() -> io::Result<(Stop, Stopped)> {
    let (reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
    Ok((Stop(writer), Stopped(Arc::new(reader.into()))))
}

/// Runs `driver` on this thread until `stopped`. An error means that the system would not let us
/// wait at all; nothing that happens on the network ends it.
pub fn run<M: Machine>(
    driver: &mut Driver<M>,
    sink: &mut impl Sink<M::Event>,
    stopped: &Stopped,
) -> io::Result<()> {
    loop {
        let version = driver.sockets_version();
        let sockets: Vec<_> = driver.sockets().collect();
        // The stop comes last, so that a socket and what is watched of it have the same index.
        let mut watched: Vec<_> = sockets.iter().map(|(_, socket)| PollFd::new(socket, INCOMING)).collect();
        watched.push(PollFd::new(&stopped.0, PollFlags::IN));
        let mut watching_writers = false;
        // Until a socket comes or goes, nothing is allocated here.
        while driver.sockets_version() == version {
            let wait = driver.turn(sink);
            if driver.sockets_version() != version {
                break;
            }
            if wait.want_write || watching_writers {
                watching_writers = wait.want_write;
                watch_writers(driver, &sockets, &mut watched);
            }
            wait_for(&mut watched, driver, wait)?;
            if watched.last().is_some_and(|stop| !stop.revents().is_empty()) {
                return Ok(());
            }
            for (watch, (key, _)) in watched.iter().zip(&sockets) {
                note(driver, *key, watch.revents());
            }
        }
    }
}

/// Watches for writability those sockets that refuse packets, and no others. One that only waits for
/// that and has been read to its end would be readable for ever.
fn watch_writers<'a, M: Machine>(
    driver: &Driver<M>,
    sockets: &'a [(SocketKey, Handle)],
    watched: &mut [PollFd<'a>],
) {
    for (watch, (key, socket)) in watched.iter_mut().zip(sockets) {
        let incoming = if driver.is_ended(*key) { PollFlags::empty() } else { INCOMING };
        let flags = if driver.is_blocked(*key) { incoming.union(PollFlags::OUT) } else { incoming };
        *watch = PollFd::new(socket, flags);
    }
}

fn wait_for<M: Machine>(watched: &mut [PollFd<'_>], driver: &Driver<M>, wait: Wait) -> io::Result<()> {
    let timeout = wait.timeout(driver.now()).map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    match poll(watched, timeout.as_ref()) {
        // A signal is for somebody else.
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn note<M: Machine>(driver: &mut Driver<M>, key: SocketKey, ready: PollFlags) {
    if ready.contains(PollFlags::OUT) {
        driver.writable(key);
    }
    if ready.intersects(INCOMING.union(PollFlags::ERR).union(PollFlags::HUP)) {
        driver.readable(key);
    }
}

/// A group of threads, each running one driver.
#[derive(Debug)]
pub struct Workers<M: Machine> {
    threads: Vec<JoinHandle<io::Result<Driver<M>>>>,
    stop: Stop,
    ended: PipeReader,
}

/// Says that a worker has ended, however that came about: it is dropped by a panic, too.
struct Farewell(PipeWriter);

impl Drop for Farewell {
    fn drop(&mut self) {
        // If nobody listens any more, nobody needs to know.
        let _ = self.0.write_all(&[0]);
    }
}

impl<M: Machine<Event = std::convert::Infallible> + Send + 'static> Workers<M> {
    /// Starts a thread for each driver.
    pub fn start(drivers: Vec<Driver<M>>) -> io::Result<Self> {
        let (stop, stopped) = stop()?;
        let (ended, farewell) = io::pipe()?;
        let spawn = |(index, mut driver): (usize, Driver<M>)| {
            let stopped = stopped.clone();
            let farewell = Farewell(farewell.try_clone()?);
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let _farewell = farewell;
                run(&mut driver, &mut |event| match event {}, &stopped)?;
                Ok(driver)
            })
        };
        // If one cannot be started, dropping `stop` ends those that were.
        let threads = drivers.into_iter().enumerate().map(spawn).collect::<io::Result<_>>()?;
        Ok(Self { threads, stop, ended })
    }

    /// Stops all of them: each finishes its turn, and the drivers come back with their counters. A
    /// worker that has panicked, which is a bug, has said on stderr where; here it is an error.
    pub fn stop(self) -> io::Result<Vec<Driver<M>>> {
        drop(self.stop);
        let join = |thread: JoinHandle<io::Result<Driver<M>>>| {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            thread.join().unwrap_or_else(|_| Err(io::Error::other(format!("{name} panicked"))))
        };
        // All are waited for, also behind one that failed.
        let results: Vec<_> = self.threads.into_iter().map(join).collect();
        results.into_iter().collect()
    }

    /// The read end of a pipe that becomes readable when a worker has ended by itself, which none
    /// should: then stop the others and see why.
    pub fn ended(&self) -> io::Result<OwnedFd> {
        Ok(self.ended.try_clone()?.into())
    }
}

/// Lets the end be watched by whoever has an event loop of its own.
impl AsFd for Stopped {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
