//! Ids, tickets and addresses: what is written reads the same, and whatever comes is read or refused.

use std::net::IpAddr;

use bradawl::identity::{
    AddressError, Content, Expired, Grant, Host, MAX_MEDIATORS, MAX_TICKET, MakeError, MediatorAddress, Name,
    PeerId, SecretKey, Ticket, TicketError, TicketSecret, Uses, base32,
};
use bradawl::rng::Rng;
use ed25519_dalek::Verifier as _;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

fn id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(|seed| SecretKey::from_seed(&seed).id())
}

fn host() -> impl Strategy<Value = Host> {
    let name = "[a-z_][a-z0-9_]{0,20}(\\.[a-z0-9]{1,9}){0,3}\\.[a-z]{2,9}";
    prop_oneof![
        any::<IpAddr>().prop_map(Host::Ip),
        name.prop_map(|name| Host::Name(Name::new(&name).expect("a name"))),
    ]
}

fn mediator() -> impl Strategy<Value = MediatorAddress> {
    (host(), 1..=u16::MAX, prop::option::of(id())).prop_filter_map("nowhere", |(host, port, id)| {
        MediatorAddress::new(host, port.try_into().expect("not 0"), id).ok()
    })
}

prop_compose! {
    fn grant()(secret in any::<[u8; 16]>(), once in any::<bool>(), expires in prop::option::of(any::<u64>())) -> Grant {
        let uses = if once { Uses::Once } else { Uses::Any };
        Grant { secret: TicketSecret::from_bytes(secret), uses, expires }
    }
}

fn ticket() -> impl Strategy<Value = Ticket> {
    (prop::collection::vec(mediator(), 1..=MAX_MEDIATORS), id(), prop::option::of(grant()))
        .prop_map(|(mediators, peer, grant)| Ticket::new(mediators, peer, grant).expect("few enough"))
}

fn read(text: &str) -> Result<Ticket, TicketError> {
    text.parse()
}

proptest! {
    #[test]
    fn a_ticket_reads_as_it_was_written(ticket in ticket()) {
        let word = ticket.to_string();
        prop_assert!(word.len() <= MAX_TICKET);
        prop_assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        prop_assert_eq!(read(&word), Ok(ticket.clone()));
        for harmless in [word.to_uppercase(), format!(" \n{word}\t\r\n"), word.replacen("brad", "Brad", 1)] {
            prop_assert_eq!(read(&harmless), Ok(ticket.clone()));
        }
    }

    /// And wherever it is cut, that is what is said.
    #[test]
    fn a_ticket_without_its_end_is_told(ticket in ticket(), at in any::<prop::sample::Index>()) {
        let word = ticket.to_string();
        let cut = &word["brad1".len()..][..at.index(word.len() - "brad1".len())];
        prop_assert_eq!(read(&format!("brad1{cut}")), Err(TicketError::Truncated));
    }

    #[test]
    fn what_stands_behind_a_ticket_is_told(ticket in ticket(), more in "[a-z2-7]{1,30}") {
        let read = read(&format!("{ticket}{more}"));
        // Zeros that fill up a byte are less than a character more.
        prop_assert_eq!(read, Err(TicketError::Surplus));
    }

    #[test]
    fn a_wrong_letter_is_found(ticket in ticket(), at in any::<prop::sample::Index>(), to in "[a-z2-7]") {
        let word = ticket.to_string();
        let at = 5 + at.index(word.len() - 5);
        let wrong = format!("{}{to}{}", &word[..at], &word[at + 1..]);
        prop_assume!(wrong != word);
        let damage = [TicketError::Mistyped, TicketError::Truncated, TicketError::Surplus];
        prop_assert!(damage.contains(&read(&wrong).expect_err("its checksum does not hold")));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(brad1|BRAD1|brad|)[a-z2-7]{0,200}.{0,3}") {
        prop_assert!(read(&text).is_err());
        let _ = text.parse::<PeerId>();
        let _ = text.parse::<MediatorAddress>();
    }

    /// Any bytes with a checksum that holds: those that are a ticket are the bytes of that ticket.
    #[test]
    fn any_bytes_are_one_ticket_or_none(head in 0..=0x3f_u8, body in prop::collection::vec(any::<u8>(), 0..120)) {
        let word = sealed(&[&[1, head][..], &body].concat());
        if let Ok(ticket) = read(&word) {
            prop_assert_eq!(ticket.to_string(), word);
        }
    }

    #[test]
    fn a_sealed_ticket_with_a_byte_changed_is_one_text_or_none(
        ticket in ticket(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let mut bytes = bytes(&ticket);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let word = sealed(&bytes);
        match read(&word) {
            Ok(ticket) => prop_assert_eq!(ticket.to_string(), word),
            Err(error) => prop_assert!(
                matches!(error, TicketError::Content(_) | TicketError::Newer | TicketError::Older),
                "{:?}", error
            ),
        }
    }

    #[test]
    fn an_address_reads_as_it_was_written(mediator in mediator()) {
        let text = mediator.to_string();
        prop_assert_eq!(text.parse(), Ok(mediator.clone()));
        prop_assert_eq!(text.to_uppercase().parse::<MediatorAddress>().ok(), match mediator.id() {
            None => Some(mediator),
            Some(_) => None,
        });
    }

    #[test]
    fn whatever_address_is_read_has_one_text(text in "[a-zA-Z0-9.:@_\\[\\]-]{0,40}") {
        if let Ok(address) = text.parse::<MediatorAddress>() {
            let shown = address.to_string();
            prop_assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn an_id_reads_as_it_was_written(id in id(), other in any::<[u8; 32]>()) {
        prop_assert_eq!(id.to_string().len(), PeerId::TEXT_LEN);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        let text = base32::encode(&other);
        prop_assert_eq!(text.parse::<PeerId>().is_ok(), PeerId::from_bytes(other).is_ok());
    }

    #[test]
    fn two_agree_and_a_third_does_not(seeds in any::<[[u8; 32]; 3]>()) {
        prop_assume!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
        let [alice, bob, eve] = seeds.map(|seed| SecretKey::from_seed(&seed));
        let nonce = bradawl::identity::Nonce::from_bytes([1; 16]);
        let session = bradawl::identity::SessionId::new((alice.id(), nonce), (bob.id(), nonce));
        let of = |one: &SecretKey, other: &SecretKey| {
            one.agree(&other.id()).expect("a secret").check_credentials(&session, None)
        };
        prop_assert_eq!(of(&alice, &bob), of(&bob, &alice));
        prop_assert_ne!(of(&eve, &bob), of(&alice, &bob));
    }
}

fn bytes(ticket: &Ticket) -> Vec<u8> {
    let word = ticket.to_string();
    let alphabet = "abcdefghijklmnopqrstuvwxyz234567";
    let bits: String =
        word[5..].chars().map(|found| format!("{:05b}", alphabet.find(found).expect("one"))).collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    let mut bytes: Vec<u8> = bytes
        .map(|byte| u8::from_str_radix(str::from_utf8(byte).expect("bits"), 2).expect("a byte"))
        .collect();
    bytes.truncate(bytes.len() - 4);
    bytes
}

/// A word of these bytes and their checksum.
fn sealed(body: &[u8]) -> String {
    let sum = Sha256::digest(body);
    format!("brad1{}", base32::encode(&[body, &sum[..4]].concat()))
}

fn one_of_everything() -> Ticket {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let texts = ["192.0.2.1:3478".to_owned(), format!("{id}@[2001:db8::1]:443"), "m.example:1".to_owned()];
    let mediators = texts.map(|text| text.parse().expect("an address")).to_vec();
    let secret = TicketSecret::from_bytes(*b"sixteen bytes 16");
    let grant = Grant { secret, uses: Uses::Any, expires: Some(1_900_000_000) };
    Ticket::new(mediators, SecretKey::from_seed(&[2; 32]).id(), Some(grant)).expect("a ticket")
}

/// Tickets that were given out are still read by whatever comes later.
#[test]
fn a_ticket_is_written_as_it_always_was() {
    let ticket = one_of_everything();
    let word = concat!(
        "brad1ae5qbqaaaiaq3fqfeaaq3oaaaaaaaaaaaaaaaaaaaea3xcui4poxicprsx6vfwznhs5f24wkm4e36hmucin",
        "7g5eiag2a6324aiew2ltfpbqw24dmmuaadajzo4hkq7ixl5lkgvdgyngh5tglrwfjdnhog6rf35qploh4tm4uonu",
        "xq5dfmvxcaytzorsxgibrgyaaaaaaoe73gabewsbom",
    );
    assert_eq!(ticket.to_string(), word);
    assert_eq!(read(word), Ok(ticket));
}

#[test]
fn the_longest_ticket_is_read() {
    let name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let id = SecretKey::from_seed(&[1; 32]).id();
    let mediator: MediatorAddress = format!("{id}@{name}:65535").parse().expect("an address");
    let secret = TicketSecret::random(&mut Rng::from_seed([1; 32]));
    let grant = Grant { secret, uses: Uses::Any, expires: Some(u64::MAX) };
    let ticket = Ticket::new(vec![mediator.clone(); MAX_MEDIATORS], id, Some(grant)).expect("a ticket");
    let word = ticket.to_string();
    assert!(word.len() <= MAX_TICKET && word.len() > MAX_TICKET - 128, "{}", word.len());
    assert_eq!(read(&word), Ok(ticket));
    assert_eq!(read(&format!("{word}{}", "a".repeat(MAX_TICKET))), Err(TicketError::TooLong));

    assert_eq!(Ticket::new(vec![mediator; MAX_MEDIATORS + 1], id, None), Err(MakeError::TooMany(5)));
    assert_eq!(Ticket::new(Vec::new(), id, None), Err(MakeError::NoMediator));
}

#[test]
fn what_is_wrong_with_a_ticket_is_said() {
    let word = one_of_everything().to_string();
    for none in
        ["", "brad", "bra", "hello", "bradawl", "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa", "ä"]
    {
        assert_eq!(read(none), Err(TicketError::NotATicket), "{none}");
    }
    assert_eq!(read(&word.replacen("brad1", "brad2", 1)), Err(TicketError::Newer));
    assert_eq!(read(&word.replacen("brad1", "brad0", 1)), Err(TicketError::Older));
    assert_eq!(read("brad1"), Err(TicketError::Truncated));
    let wrapped = format!("{}\n{}", &word[..60], &word[60..]);
    assert_eq!(read(&wrapped), Err(TicketError::Character { found: '\n', at: 61 }));
    assert_eq!(read(&format!("{word}.")), Err(TicketError::Character { found: '.', at: word.len() + 1 }));
    let umlaut = format!("{}ä{}", &word[..60], &word[61..]);
    assert_eq!(read(&umlaut), Err(TicketError::Character { found: 'ä', at: 61 }));

    // A letter in the peer's id, which every ticket has behind its mediators.
    let at = word.len() - 60;
    let wrong = if word.as_bytes()[at] == b'a' { "b" } else { "a" };
    assert_eq!(read(&format!("{}{wrong}{}", &word[..at], &word[at + 1..])), Err(TicketError::Mistyped));
}

/// With a checksum that holds, so that it was not damaged on the way.
#[test]
fn what_should_not_have_been_written_is_refused() {
    let good = bytes(&one_of_everything());
    let with = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        read(&sealed(&bytes)).expect_err("no ticket")
    };
    assert_eq!(with(0, 2), TicketError::Newer);
    assert_eq!(with(0, 0), TicketError::Older);
    assert_eq!(with(1, good[1] | 0x40), TicketError::Content(Content::Layout), "a bit that means nothing");
    assert_eq!(with(1, good[1] & !0x08), TicketError::Content(Content::Layout), "an expiry of no secret");
    assert_eq!(with(2, 3), TicketError::Content(Content::Layout), "no kind of host");
    assert_eq!(with(2, 8), TicketError::Content(Content::Layout), "a bit that means nothing");
    assert_eq!(with(3, 224), TicketError::Content(Content::Mediator), "multicast");
    let name = good.windows(9).position(|bytes| bytes == b"m.example").expect("a name");
    assert_eq!(with(name, b'M'), TicketError::Content(Content::Mediator), "upper case");
    assert_eq!(with(name, 0xff), TicketError::Content(Content::Mediator), "no text");
    assert_eq!(with(name + 10, 0), TicketError::Content(Content::Mediator), "port 0");

    let sealed_err = |bytes: &[u8]| read(&sealed(bytes)).expect_err("no ticket");
    assert_eq!(sealed_err(&[1, 0]), TicketError::Content(Content::Layout), "no peer");
    assert_eq!(sealed_err(&[]), TicketError::Mistyped, "a checksum of nothing");
    assert_eq!(sealed_err(&[&[1, 0][..], &[2], &[0; 31]].concat()), TicketError::Content(Content::Id));
    let peer = SecretKey::from_seed(&[1; 32]).id();
    assert_eq!(
        sealed_err(&[&[1, 0][..], peer.as_bytes()].concat()),
        TicketError::Content(Content::Mediators)
    );
    let five = [&[1, 5][..], &[0, 192, 0, 2, 1, 1, 1].repeat(5), peer.as_bytes()].concat();
    assert_eq!(sealed_err(&five), TicketError::Content(Content::Mediators));
    assert_eq!(sealed_err(&[&good[..], &[0]].concat()), TicketError::Content(Content::Layout));
}

#[test]
fn a_ticket_ends_when_it_says() {
    let ticket = one_of_everything();
    assert_eq!(ticket.check(1_899_999_999), Ok(()));
    for (now, text) in [
        (1_900_000_000, "just now"),
        (1_900_000_001, "1 second ago"),
        (1_900_000_119, "1 minute ago"),
        (1_900_007_200, "2 hours ago"),
        (1_900_260_000, "3 days ago"),
    ] {
        let expired = ticket.check(now).expect_err("too late");
        assert_eq!(expired, Expired { seconds: now - 1_900_000_000 });
        assert_eq!(expired.to_string(), format!("the ticket expired {text}: ask for a new one"));
    }
    let open = Ticket::new(ticket.mediators().to_vec(), *ticket.peer(), None).expect("a ticket");
    assert_eq!(open.check(u64::MAX), Ok(()));
}

#[test]
fn a_ticket_shows_its_secret_in_its_text_alone() {
    let ticket = one_of_everything();
    let shown = format!("{ticket:?}");
    assert!(shown.contains("secret: TicketSecret, uses: Any"), "{shown}");
    assert!(!shown.contains("115, 105, 120") && !shown.contains("sixteen"), "{shown}");
}

/// What is signed is Ed25519 (RFC 8032) of what the module says, so that others can do it, too.
#[test]
fn others_can_verify_what_we_sign() {
    let key = SecretKey::from_seed(&[1; 32]);
    let signature = key.sign(bradawl::identity::Context::new("offer"), b"bytes");
    let theirs = ed25519_dalek::VerifyingKey::from_bytes(key.id().as_bytes()).expect("a key");
    let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    assert!(theirs.verify(b"bradawl signature 1\x05offerbytes", &signature).is_ok());
}

#[test]
fn errors_are_sentences_that_help() {
    let address = |text: &str| text.parse::<MediatorAddress>().expect_err("none").to_string();
    assert!(address("ä.example").contains("xn--"));
    assert!(address("x@a:1").starts_with("in front of the @: this is no peer's id: it has 1 character"));
    assert_eq!("a:x".parse::<MediatorAddress>(), Err(AddressError::Port));
    assert_eq!(address("0.0.0.0:1"), "0.0.0.0 is no address that others could reach");
}
