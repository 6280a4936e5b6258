//! Lines of a stream, none of which is longer than it may be.

use std::io::{self, BufRead};

/// The longest line that is read: the largest datagram there is fits, in base64.
pub const MAX_LINE: usize = 128 << 10;

/// A line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// As it came.
    Line(Vec<u8>),
    /// It was longer than [`MAX_LINE`], and has been passed over.
    TooLong,
}

/// Reads the next line, or what there is before the end; nothing at the end.
///
/// ```
/// use bradawl_host::cli::ice::{Input, next_line};
///
/// let mut text = &b"one\r\ntwo"[..];
/// assert_eq!(next_line(&mut text)?, Some(Input::Line(b"one".to_vec())));
/// assert_eq!(next_line(&mut text)?, Some(Input::Line(b"two".to_vec())));
/// assert_eq!(next_line(&mut text)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn next_line(from: &mut impl BufRead) -> io::Result<Option<Input>> {
    let (mut line, mut is_too_long, mut any) = (Vec::new(), false, false);
    loop {
        let piece = match from.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece.is_empty() {
            return Ok(any.then(|| whole(line, is_too_long)));
        }
        any = true;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let part = &piece[..end.unwrap_or(piece.len())];
        is_too_long |= line.len() + part.len() > MAX_LINE;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let read = part.len() + usize::from(end.is_some());
        from.consume(read);
        if end.is_some() {
            return Ok(Some(whole(line, is_too_long)));
        }
    }
}

fn whole(mut line: Vec<u8>, is_too_long: bool) -> Input {
    if is_too_long {
        return Input::TooLong;
    }
    line.pop_if(|last| *last == b'\r');
    Input::Line(line)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn what_is_too_long_is_passed_over() {
        let exact = vec![b'a'; MAX_LINE];
        let text = [&exact[..], b"\n", &exact, b"a\nnext\n\n"].concat();
        // In pieces of any size.
        for capacity in [1 << 10, 1 << 20] {
            let mut from = BufReader::with_capacity(capacity, &text[..]);
            let mut next = || next_line(&mut from).expect("no error");
            assert_eq!(next(), Some(Input::Line(exact.clone())));
            assert_eq!(next(), Some(Input::TooLong));
            assert_eq!(next(), Some(Input::Line(b"next".to_vec())));
            assert_eq!(next(), Some(Input::Line(Vec::new())));
            assert_eq!(next(), None);
        }
    }
}
