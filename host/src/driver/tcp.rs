//! A TCP socket that never blocks: connect, read, write, and the two ways to end.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, SocketAddrV6, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// One socket of a connection that stands or is to stand.
#[derive(Debug)]
pub(super) struct Tcp(TcpStream);

impl Tcp {
    /// Begins to connect. Whether that has come off already: it seldom has.
    pub(super) fn connect(local: SocketAddr, remote: SocketAddr) -> io::Result<(Self, bool)> {
        let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if local.port() != 0 {
            // An earlier connection from there, long closed, still counts as taking the port.
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        // A machine writes whole messages, and each is wanted at once.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&local.into())?;
        let stands = match socket.connect(&remote.into()) {
            Ok(()) => true,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => false,
            Err(error) => return Err(error),
        };
        Ok((Self(socket.into()), stands))
    }

    /// Our end, once the connection stands; `None` while that is still open. An error: it never will.
    pub(super) fn established(&self) -> io::Result<Option<SocketAddr>> {
        if let Some(error) = self.0.take_error()? {
            return Err(error);
        }
        match self.0.peer_addr() {
            // A connection to its own port, which can come about by chance, is with nobody.
            Ok(remote) => match concrete(self.0.local_addr()?) {
                local if local == concrete(remote) => Err(io::ErrorKind::ConnectionRefused.into()),
                local => Ok(Some(local)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Our end as far as it is known.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Reads what there is into `piece`; 0 bytes are the end.
    pub(super) fn read(&self, piece: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(piece)
    }

    /// Writes some of `bytes`.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match (&self.0).write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        }
    }

    /// Says that nothing more will come from us. The other side may go on.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    /// From now on, closing resets the connection: what was sent is not to be taken for the whole.
    pub(super) fn reset_on_close(&self) {
        // Without it the connection is closed in the ordinary way.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

impl AsFd for Tcp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The address without its flow label: two labels are not two ends.
fn concrete(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
    }
}
