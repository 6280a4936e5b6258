//! Starting a server, knowing that it answers, stopping it.

#![allow(clippy::disallowed_methods, reason = "it waits for a real process")]

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// A server that can be started.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    binary: PathBuf,
    arguments: fn(u16) -> Vec<OsString>,
}

impl Server {
    pub(crate) fn coturn(binary: &Path) -> Self {
        Self { name: "coturn", binary: binary.to_owned(), arguments: coturn_arguments }
    }

    pub(crate) fn ours(binary: &Path) -> Self {
        Self { name: "bradawl", binary: binary.to_owned(), arguments: our_arguments }
    }

    /// Starts it with `wrapper` before its own command (`taskset`, `valgrind`) and waits until it
    /// answers.
    pub(crate) fn start(&self, wrapper: &[OsString], patience: Duration) -> Result<Running, String> {
        let port = free_port().map_err(|error| format!("no port: {error}"))?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut words = wrapper.to_vec();
        words.push(self.binary.clone().into());
        words.extend((self.arguments)(port));
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{:?}: {error}", words[0]))?;
        let mut running = Running { name: self.name, address, child };
        running.await_answer(patience)?;
        Ok(running)
    }
}

fn coturn_arguments(port: u16) -> Vec<OsString> {
    let fixed = "-n --stun-only --no-auth --no-cli --no-tls --no-dtls --no-tcp --no-rfc5780 \
                 --no-stun-backward-compatibility --no-software-attribute --relay-threads=1 \
                 --listening-ip=127.0.0.1 --log-file=/dev/null --simple-log";
    let mut words: Vec<OsString> = fixed.split_whitespace().map(OsString::from).collect();
    words.push(format!("--listening-port={port}").into());
    words.push(format!("--pidfile={}", pidfile().display()).into());
    words
}

/// coturn insists on writing one.
fn pidfile() -> PathBuf {
    env::temp_dir().join(format!("server-vs-coturn.{}.pid", process::id()))
}

fn our_arguments(port: u16) -> Vec<OsString> {
    ["serve", "--listen", &format!("127.0.0.1:{port}"), "--workers", "1"].map(OsString::from).to_vec()
}

fn free_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A server that answers; it ends with this.
pub(crate) struct Running {
    name: &'static str,
    pub(crate) address: SocketAddrV4,
    child: Child,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn await_answer(&mut self, patience: Duration) -> Result<(), String> {
        // A plain Binding request.
        let mut request = [0x5a; 20];
        request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        let failed = |error: std::io::Error| format!("asking {}: {error}", self.name);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        socket.set_read_timeout(Some(Duration::from_millis(200))).map_err(failed)?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended before it answered: {status}", self.name));
            }
            // Until its socket is there an error is what comes back.
            let asked = socket.send_to(&request, self.address).is_ok();
            if asked && socket.recv(&mut [0; 512]).is_ok_and(|len| len >= 32) {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        Err(format!("{} does not answer", self.name))
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let status = self.end(Duration::from_secs(30));
        status.map(drop).ok_or_else(|| format!("{} did not end when asked to", self.name))
    }

    fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        // SAFETY: no memory is involved; the process is a child of ours that was not yet waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.end(Duration::from_secs(2)).is_none() {
            // It is about to be forgotten; whether it could be killed changes nothing.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(pidfile());
    }
}
