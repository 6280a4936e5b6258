//! A network of the test's own, where it decides about MTUs, neighbours and who may send.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::Read as _;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use socket2::{Domain, SockRef, Socket, Type};

/// Moves this thread, and with it the sockets that it opens from now on, into a network namespace of
/// its own, and runs `commands` there, each an `ip …`. Says why if that cannot be.
pub(crate) fn own(commands: &[&str]) -> bool {
    // SAFETY: each test has a thread of its own, and nothing that it holds belongs to the network
    // it leaves; files and memory are shared as before.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        println!("skipped: no network namespace for this test (root can): {error}");
        return false;
    }
    commands.iter().all(|command| {
        let done = run(command);
        if !done {
            println!("skipped: `ip {command}` failed");
        }
        done
    })
}

/// A network of its own with a thread in it, for as long as this lives.
pub(crate) struct Router {
    /// What `ip link set … netns` calls it.
    pub(crate) id: String,
    commands: Sender<(String, Sender<bool>)>,
}

impl Router {
    /// One that passes packets on; `None` where there can be none.
    pub(crate) fn new() -> Option<Self> {
        let (commands, wanted) = channel::<(String, Sender<bool>)>();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let forwards = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
            let ready = own(&["link set lo up"])
                && forwards.iter().all(|name| {
                    let done = std::fs::write(format!("/proc/sys/net/{name}"), "1");
                    done.inspect_err(|error| println!("skipped: {name}: {error}")).is_ok()
                });
            let id = ready.then(|| gettid().as_raw_nonzero().to_string());
            let _ = tell.send(id);
            for (command, done) in wanted {
                let _ = done.send(run(&command));
            }
        });
        let id = told.recv().ok().flatten()?;
        Some(Self { id, commands })
    }

    /// Runs `ip` with these words there.
    pub(crate) fn run(&self, command: &str) -> bool {
        let (done, is_done) = channel();
        self.commands.send((command.to_owned(), done)).expect("it waits for commands");
        is_done.recv().expect("it answers")
    }
}

/// Runs `ip` with these words in this thread's network; whether it went well.
pub(crate) fn run(command: &str) -> bool {
    Command::new("ip").args(command.split_whitespace()).status().is_ok_and(|status| status.success())
}

/// The other end of [`silent_link`].
pub(crate) const FAR: &str = "10.77.0.2:9";

/// A network on which packets to [`FAR`] wait for its link address, in the buffer of their socket,
/// until [`answer`].
pub(crate) fn silent_link() -> bool {
    own(&[
        "link set lo up",
        "link add near type veth peer name far",
        "addr add 10.77.0.1/24 dev near",
        "link set near up",
        "link set far up",
    ])
}

/// From now on the kernel knows where [`FAR`] is, and sends what waits.
pub(crate) fn answer() {
    assert!(run("neigh replace 10.77.0.2 dev near lladdr 02:00:00:00:00:02 nud permanent"));
}

/// Gives a socket so little room that a few packets fill it.
pub(crate) fn narrow(socket: &impl AsFd) {
    SockRef::from(socket).set_send_buffer_size(8_000).expect("less room");
}

/// Everything of IPv4 that arrives on this network, wherever it was going.
pub(crate) struct Capture(Socket);

impl Capture {
    pub(crate) fn new() -> Self {
        const ETH_P_IP: u16 = 0x0800;
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(i32::from(ETH_P_IP.to_be()).into()));
        let socket = socket.expect("root in here");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        Self(socket)
    }

    /// Waits for so many packets of this size, headers included.
    pub(crate) fn expect(&mut self, count: usize, len: usize) {
        let mut seen = 0;
        while seen < count {
            let mut buf = [0; 2_048];
            let arrived = self.0.read(&mut buf).unwrap_or_else(|error| panic!("{error} after {seen}"));
            seen += usize::from(arrived == len);
        }
    }
}
