//! Await readable, writable or the deadline; turn.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use bradawl::machine::Machine;
use bradawl_host::driver::{Driver, Handle, Sink, SocketKey, Wait};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits for one driver with tokio.
///
/// ```
/// # use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
/// # use bradawl::time::Instant;
/// # struct Quiet;
/// # impl Machine for Quiet {
/// #     type Event = core::convert::Infallible;
/// #     fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict { Verdict::Consumed }
/// #     fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}
/// #     fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<Self::Event> { Output::Idle(None) }
/// # }
/// use bradawl_host::driver::{Driver, Limits};
/// use bradawl_tokio::EventLoop;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let mut driver = Driver::new(Quiet, Limits::default());
/// driver.bind((std::net::Ipv4Addr::LOCALHOST, 0).into(), &Default::default())?;
/// let mut events = EventLoop::new(driver);
/// events.turn(&mut |event| match event {}).await?;
/// # Ok(())
/// # }
/// ```
pub struct EventLoop<M: Machine> {
    // Before the driver, so that tokio forgets the sockets before they are closed.
    watched: Vec<(SocketKey, AsyncFd<Handle>)>,
    version: Option<u64>,
    wait: Wait,
    driver: Driver<M>,
}

impl<M: Machine> EventLoop<M> {
    /// A loop around `driver`. It needs a tokio runtime from its first turn on.
    pub fn new(driver: Driver<M>) -> Self {
        let wait = Wait { deadline: None, want_write: false, more: true };
        Self { watched: Vec::new(), version: None, wait, driver }
    }

    /// The driver.
    pub fn driver(&self) -> &Driver<M> {
        &self.driver
    }

    /// The driver, to give its machine commands. The next turn does not wait.
    pub fn driver_mut(&mut self) -> &mut Driver<M> {
        self.wait.more = true;
        &mut self.driver
    }

    /// Waits until there is something to do and does it. May be dropped while it waits.
    pub async fn turn(&mut self, sink: &mut impl Sink<M::Event>) -> io::Result<()> {
        self.watch()?;
        self.ready().await?;
        self.wait = self.driver.turn(sink);
        Ok(())
    }

    /// Has tokio watch the sockets that there are now.
    fn watch(&mut self) -> io::Result<()> {
        if self.version == Some(self.driver.sockets_version()) {
            return Ok(());
        }
        let mut known: HashMap<_, _> = self.watched.drain(..).collect();
        for (key, socket) in self.driver.sockets() {
            let watch = match known.remove(&key) {
                Some(watch) => watch,
                // SAFETY: a `Handle` is of one descriptor, always the same, which is not closed before
                // the last handle is gone; the `AsyncFd` holds one of these until it has deregistered.
                None => unsafe { AsyncFd::register_with_interest(socket, interest()) }?,
            };
            self.watched.push((key, watch));
        }
        self.version = Some(self.driver.sockets_version());
        Ok(())
    }

    async fn ready(&mut self) -> io::Result<()> {
        if self.wait.more {
            // The work is more than one turn's: let other tasks have theirs in between.
            tokio::task::yield_now().await;
            return poll_fn(|context| Poll::Ready(self.poll_sockets(context).map(drop))).await;
        }
        let timeout = self.wait.timeout(self.driver.now());
        let sockets = poll_fn(|context| match self.poll_sockets(context) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        match timeout {
            None => sockets.await,
            // Late or early does not matter: the machine looks at its own time.
            Some(timeout) => tokio::time::timeout(timeout, sockets).await.unwrap_or(Ok(())),
        }
    }

    /// Tells the driver which sockets are ready; whether any is.
    fn poll_sockets(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut any = false;
        for (key, watched) in &self.watched {
            // Readiness is cleared first and the driver then reads until the socket is empty, so
            // that a datagram that comes in between wakes us again.
            if let Poll::Ready(guard) = watched.poll_read_ready(context) {
                guard?.clear_ready();
                self.driver.readable(*key);
                any = true;
            }
            // What is not blocked would be writable, always, and wake us for nothing.
            if !self.wait.want_write || !self.driver.is_blocked(*key) {
                continue;
            }
            if let Poll::Ready(guard) = watched.poll_write_ready(context) {
                guard?.clear_ready();
                self.driver.writable(*key);
                any = true;
            }
        }
        Ok(any)
    }
}

/// On Linux a waiting ICMP error counts as urgent data: see [`Driver::sockets`].
fn interest() -> Interest {
    let interest = Interest::READABLE | Interest::WRITABLE;
    #[cfg(target_os = "linux")]
    let interest = interest | Interest::PRIORITY;
    interest
}
