//! As much of HTTP/1.1 as a router's answer needs (RFC 9112): a status, a head, a body, in any chunks.
//!
//! Bytes are pushed as they come. What is kept is bounded, and so is all that may be sent for it: an
//! endless head, a body beyond its limit or chunks that are mostly chunk headers end the reading.
//! Redirects are not followed: a router has no business to send us elsewhere.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// The most that a head may have, and with it all informational ones before it.
pub const MAX_HEAD: usize = 8_192;

/// The most that the lines between the chunks of a body may have.
pub const MAX_CHUNK_LINES: usize = 16_384;

/// The longest line between chunks.
const MAX_CHUNK_LINE: usize = 256;

/// Writes a request with no body; the connection is to be closed after the answer.
///
/// ```
/// let request = bradawl::portmap::igd::http::get("192.168.1.1:5000".parse()?, "/rootDesc.xml");
/// assert!(request.starts_with(b"GET /rootDesc.xml HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n"));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn get(host: SocketAddr, target: &str) -> Vec<u8> {
    alloc::format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// One response, as far as it has come.
///
/// ```
/// use bradawl::portmap::igd::http::{Progress, Response};
///
/// let mut response = Response::new(1_024);
/// assert_eq!(response.push(b"HTTP/1.1 200 OK\r\nContent-Le"), Progress::More);
/// assert_eq!(response.push(b"ngth: 5\r\n\r\nhello"), Progress::Done);
/// assert_eq!((response.status(), response.body()), (200, &b"hello"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    limit: usize,
    status: u16,
    head_bytes: usize,
    chunk_line_bytes: usize,
    /// The head, then lines between chunks, while they are not whole.
    line: Vec<u8>,
    body: Vec<u8>,
    stage: Stage,
}

/// How far a [`Response`] is.
///
/// ```
/// use bradawl::portmap::igd::http::{Progress, Response};
///
/// assert_eq!(Response::new(16).push(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), Progress::Broken);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to come.
    More,
    /// It is whole.
    Done,
    /// It is not HTTP, is too big, or ended too early.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    /// So many bytes are still to come.
    Length(usize),
    ChunkLine,
    Chunk(usize),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailer,
    UntilClose,
    Done,
    Broken,
}

impl Response {
    /// An empty one, whose body may have `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            status: 0,
            head_bytes: 0,
            chunk_line_bytes: 0,
            line: Vec::new(),
            body: Vec::new(),
            stage: Stage::Head,
        }
    }

    /// The status code, once the head is whole.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The body as far as it has come.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Takes what came next.
    pub fn push(&mut self, mut bytes: &[u8]) -> Progress {
        while !bytes.is_empty() && !matches!(self.stage, Stage::Done | Stage::Broken) {
            bytes = match self.stage {
                Stage::Length(left) => self.take_body(bytes, left, |left| match left {
                    0 => Stage::Done,
                    left => Stage::Length(left),
                }),
                Stage::Chunk(left) => self.take_body(bytes, left, |left| match left {
                    0 => Stage::ChunkEnd,
                    left => Stage::Chunk(left),
                }),
                Stage::UntilClose => self.take_body(bytes, usize::MAX, |_| Stage::UntilClose),
                _ => self.take_line(bytes),
            };
        }
        self.progress()
    }

    /// The other side has closed the connection.
    pub fn end(&mut self) -> Progress {
        // With the last chunk the body is whole, and some leave out the empty line behind it.
        if matches!(self.stage, Stage::UntilClose | Stage::Trailer) {
            self.stage = Stage::Done;
        } else if self.stage != Stage::Done {
            self.stage = Stage::Broken;
        }
        self.progress()
    }

    const fn progress(&self) -> Progress {
        match self.stage {
            Stage::Done => Progress::Done,
            Stage::Broken => Progress::Broken,
            _ => Progress::More,
        }
    }

    fn take_body<'b>(&mut self, bytes: &'b [u8], left: usize, next: impl FnOnce(usize) -> Stage) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(left.min(bytes.len()));
        if self.body.len() + taken.len() > self.limit {
            self.stage = Stage::Broken;
            return &[];
        }
        self.body.extend_from_slice(taken);
        self.stage = next(left - taken.len());
        rest
    }

    /// Takes bytes up to the end of a line, and the line if it is whole.
    fn take_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (taken, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        let (count, limit) = match self.stage {
            Stage::Head => (&mut self.head_bytes, MAX_HEAD),
            _ => (&mut self.chunk_line_bytes, MAX_CHUNK_LINES),
        };
        *count += taken.len();
        if *count > limit {
            self.stage = Stage::Broken;
            return &[];
        }
        self.line.extend_from_slice(taken);
        if self.stage != Stage::Head && self.line.len() > MAX_CHUNK_LINE {
            self.stage = Stage::Broken;
        } else if end.is_some() {
            self.stage = self.finish_line().unwrap_or(Stage::Broken);
        }
        rest
    }

    /// A line is whole; in the head they gather until the empty one.
    fn finish_line(&mut self) -> Option<Stage> {
        if self.stage == Stage::Head {
            let whole = self.line.ends_with(b"\n\r\n") || self.line.ends_with(b"\n\n");
            if !whole {
                // What is not HTTP is known from its first line.
                return self.line.starts_with(b"HTTP/1.").then_some(Stage::Head);
            }
            let line = core::mem::take(&mut self.line);
            // A header that we do not read may be in any encoding.
            return self.read_head(&String::from_utf8_lossy(&line));
        }
        let line = core::mem::take(&mut self.line);
        let line = core::str::from_utf8(&line).ok()?.trim();
        match self.stage {
            Stage::ChunkEnd if line.is_empty() => Some(Stage::ChunkLine),
            Stage::ChunkLine => {
                let digits = line.split(';').next()?.trim();
                match usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))? {
                    0 => Some(Stage::Trailer),
                    size => Some(Stage::Chunk(size)),
                }
            }
            Stage::Trailer if line.is_empty() => Some(Stage::Done),
            Stage::Trailer => Some(Stage::Trailer),
            _ => None,
        }
    }

    fn read_head(&mut self, head: &str) -> Option<Stage> {
        let mut lines = head.lines();
        let mut status = lines.next()?.split_ascii_whitespace();
        status.next().filter(|version| version.starts_with("HTTP/1."))?;
        self.status = status.next()?.parse().ok().filter(|status| (100..600).contains(status))?;
        if self.status < 200 {
            return Some(Stage::Head); // informational: the real one follows (RFC 9110 §15.2)
        }
        let (mut length, mut chunked) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse::<usize>().ok().filter(|&length| length <= self.limit)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.rsplit(',').next()?.trim().eq_ignore_ascii_case("chunked");
            }
        }
        // Chunks go before a length (RFC 9112 §6.3).
        Some(match length {
            _ if chunked => Stage::ChunkLine,
            Some(0) => Stage::Done,
            Some(length) => Stage::Length(length),
            None => Stage::UntilClose,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{MAX_CHUNK_LINES, MAX_HEAD, Progress, Response};

    /// In pieces of every size the same comes out.
    fn read(bytes: &[u8], limit: usize) -> (Progress, u16, Vec<u8>) {
        let mut results = (1..=bytes.len()).map(|size| {
            let mut response = Response::new(limit);
            for piece in bytes.chunks(size) {
                let _ = response.push(piece);
            }
            (response.end(), response.status(), response.body().to_vec())
        });
        let first = results.next().expect("bytes");
        assert!(
            results.all(|result| result.0 == first.0 && (result.0 == Progress::Broken || result == first))
        );
        first
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_by_the_end() {
        let done = |body: &[u8]| (Progress::Done, 200, body.to_vec());
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 9), done(b"abc"));
        assert_eq!(read(b"HTTP/1.0 200 OK\n\nabc", 9), done(b"abc"));
        assert_eq!(read(b"HTTP/1.0 200 OK\r\nServer: Ger\xe4t\r\n\r\nabc", 9), done(b"abc"));
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n", 9),
            done(b"abcde")
        );
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\n3\r\nabc\r\n0\r\n", 9),
            done(b"abc")
        );
        assert_eq!(
            read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 9),
            done(b"")
        );
    }

    #[test]
    fn what_is_cut_or_too_big_or_nonsense_is_broken() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n0123456789",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n0123456789",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
        ] {
            assert_eq!(read(bytes, 9).0, Progress::Broken, "{}", std::string::String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_endless_head_and_endless_chunk_lines_end() {
        let mut response = Response::new(100);
        let _ = response.push(b"HTTP/1.1 200 OK\r\n");
        let lines = (0..).take_while(|_| response.push(b"X: y\r\n") == Progress::More).count();
        assert!(lines * 6 <= MAX_HEAD && lines * 6 > MAX_HEAD - 100, "{lines}");

        let mut response = Response::new(1_000_000);
        let _ = response.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunks = (0..).take_while(|_| response.push(b"1;padding=\r\n.\r\n") == Progress::More).count();
        assert!(chunks * 14 <= MAX_CHUNK_LINES && response.body().len() <= chunks + 1, "{chunks}");

        let mut response = Response::new(100);
        let _ = response.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(response.push(&[b'0'; 300]), Progress::Broken, "an endless chunk line");
    }
}
