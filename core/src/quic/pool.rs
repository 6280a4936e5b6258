//! Buffers for what comes in.
//!
//! quinn-proto wants to own each datagram, for what it says on a stream lies there until it is read. A
//! buffer comes back when the last of that is gone, so a connection that is read from allocates none. Small
//! datagrams have small buffers: one byte that nobody reads must not hold fifteen hundred.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use crate::machine::MIN_BUFFER;

/// The room for a datagram that says little, such as what has arrived.
const SMALL: usize = 192;
/// How many buffers of a kind are kept to be used again.
const MOST: usize = 64;

#[derive(Default)]
pub(super) struct Pool {
    small: VecDeque<BytesMut>,
    large: VecDeque<BytesMut>,
}

impl Pool {
    /// A copy of `datagram`.
    pub(super) fn copy(&mut self, datagram: &[u8]) -> BytesMut {
        let len = datagram.len();
        if len <= SMALL {
            copy(&mut self.small, SMALL, datagram)
        } else if len <= MIN_BUFFER {
            copy(&mut self.large, MIN_BUFFER, datagram)
        } else {
            BytesMut::from(datagram)
        }
    }
}

/// The oldest buffer is the likeliest to have come back; if it has not, there is a new one.
fn copy(spare: &mut VecDeque<BytesMut>, size: usize, datagram: &[u8]) -> BytesMut {
    let is_back = spare.front_mut().is_some_and(|oldest| oldest.try_reclaim(size));
    let oldest = spare.pop_front();
    let mut buffer = match oldest {
        Some(oldest) if is_back => oldest,
        still_in_use => {
            spare.extend(still_in_use);
            BytesMut::with_capacity(size)
        }
    };
    buffer.extend_from_slice(datagram);
    let filled = buffer.split();
    if spare.len() < MOST {
        spare.push_back(buffer);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::{MOST, Pool};

    #[test]
    fn a_buffer_comes_back_when_the_last_of_it_is_gone() {
        let mut pool = Pool::default();
        let mut first = pool.copy(&[1; 1_200]);
        let at = first.as_ptr();
        let kept = first.split_to(10).freeze();
        drop(first);
        assert_ne!(pool.copy(&[2; 1_200]).as_ptr(), at, "some of it is in use");
        drop(kept);
        let again = (0..3).map(|_| pool.copy(&[3; 1_200]).as_ptr());
        assert!(again.into_iter().any(|other| other == at));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = Pool::default();
        let in_use: std::vec::Vec<_> = (0..10 * MOST).map(|_| pool.copy(&[1; 40])).collect();
        assert_eq!(pool.small.len(), MOST);
        assert!(in_use.iter().all(|copy| copy[..] == [1; 40]));
    }
}
