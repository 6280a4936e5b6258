//! Any text as a ticket, an id and a mediator's address, and any bytes as a ticket whose checksum holds: no
//! panic, each has one text, and what is wrong is said in one line that shows nothing of what came but a character.

#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use bradawl::identity::{
    MAX_MEDIATORS, MAX_TICKET, MediatorAddress, PeerId, SecretKey, Ticket, TicketError, base32,
};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        as_ticket(text);
        let _ = read::<PeerId>(text);
        let _ = read::<MediatorAddress>(text);
    }
    if !bytes.is_empty() {
        sealed(bytes);
    }
});

/// Reads what is written back as the same, or says why not.
fn read<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(read) => {
            let again = read.to_string().parse::<T>().unwrap_or_else(|error| panic!("{error}: {read}"));
            assert_eq!(again, read);
            Some(read)
        }
        Err(error) => {
            let told = error.to_string();
            assert!(!told.chars().any(char::is_control) && told.len() < 300, "{told:?}");
            None
        }
    }
}

fn as_ticket(text: &str) {
    let Some(ticket) = read::<Ticket>(text) else { return };
    assert_eq!(ticket.to_string(), text.trim().to_ascii_lowercase());
    holds(&ticket);
}

/// These bytes as a ticket that somebody made by hand.
fn sealed(bytes: &[u8]) {
    let sum = Sha256::digest(bytes);
    let text = format!("brad1{}", base32::encode(&[bytes, &sum[..4]].concat()));
    match text.parse::<Ticket>() {
        Ok(ticket) => {
            assert_eq!(ticket.to_string(), text);
            holds(&ticket);
        }
        Err(TicketError::TooLong) => assert!(text.len() > MAX_TICKET),
        Err(TicketError::Newer) => assert!(bytes[0] > 1),
        Err(TicketError::Older) => assert!(bytes[0] == 0),
        Err(TicketError::Content(_)) => {}
        Err(error) => panic!("its checksum holds: {error:?}"),
    }
}

fn holds(ticket: &Ticket) {
    assert!((1..=MAX_MEDIATORS).contains(&ticket.mediators().len()));
    for mediator in ticket.mediators() {
        assert_eq!(mediator.to_string().parse().as_ref(), Ok(mediator));
        mediator.id().into_iter().for_each(agrees);
    }
    agrees(ticket.peer());
    match ticket.grant() {
        Some(grant) => {
            assert_eq!(ticket.check(0).is_err(), grant.expires == Some(0));
            assert!(grant.secret.for_hub().hash().admits(&grant.secret.for_hub()));
        }
        None => assert!(ticket.check(u64::MAX).is_ok()),
    }
}

/// With whom a ticket leads to, a secret can be agreed on.
fn agrees(id: &PeerId) {
    assert!(SecretKey::from_seed(&[7; 32]).agree(id).is_ok());
}
