//! What is signed, what has to be, and what an attacker who forges challenges achieves: nothing that
//! outlives the request.

use bradawl::machine::{MIN_BUFFER, Machine, Output, Path, Verdict};
use bradawl::stun::client::{Event, Failure, MAX_STALE, Offer, Request};
use bradawl::time::Duration;
use bradawl::wire::stun::attr::{
    ChosenAlgorithm, Kind, Nonce, PasswordAlgorithms, Realm, Userhash, Username,
};
use bradawl::wire::stun::{Class, Integrity, Key, Message, PasswordAlgorithm, Writer, userhash};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::world::*;

/// An agent that believes a forged 487 changes its role (RFC 8445 §7.2.5.1).
#[test]
fn a_487_needs_a_signature() {
    let mut world = World::asking(Request::default());
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| writer.put(&error(487)));
    assert_eq!(world.event(), None);

    let mut world = World::asking(short_term(Offer::Sha1));
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| writer.put(&error(487)));
    assert_eq!(world.event(), None);
    let key = Key::short_term("secret");
    world.answered(&request, Class::Error, |writer| writer.put(&error(487)).integrity(&key));
    assert_eq!(world.failure(), Some(Failure::Refused { code: 487 }));
}

#[test]
fn short_term_requests_are_signed_as_offered_and_so_must_be_their_answers() {
    let key = Key::short_term("secret");
    for (offer, accepts_sha1, accepts_sha256) in
        [(Offer::Sha1, true, false), (Offer::Sha256, false, true), (Offer::Both, true, true)]
    {
        for (which, accepted) in [(Integrity::Sha1, accepts_sha1), (Integrity::Sha256, accepts_sha256)] {
            let mut world = World::asking(short_term(offer));
            let request = world.sent();
            let message = Message::parse(&request).unwrap();
            assert_eq!(message.find(), Ok(Some(Username(b"alice"))));
            assert_eq!(message.integrity_holds_with(&key, Integrity::Sha1), accepts_sha1);
            assert_eq!(message.integrity_holds_with(&key, Integrity::Sha256), accepts_sha256);
            world.answered(&request, Class::Success, |w| w.put(&mapped()).integrity_with(&key, which));
            if accepted {
                world.assert_success();
            } else {
                assert_eq!(
                    (world.event(), world.client.ignored().unproven),
                    (None, 1),
                    "{offer:?} {which:?}"
                );
            }
        }
    }
}

/// RFC 8489 §9.1.4: an answer that is not signed is as if it had never come, and if nothing else
/// comes, that is what is said.
#[test]
fn unsigned_answers_to_a_signed_request_change_nothing() {
    let mut world = World::asking(short_term(Offer::Both));
    let request = world.sent();
    let mallory = Key::short_term("mallory");
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()));
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()).integrity(&mallory));
    world.answered(&request, Class::Error, |writer| writer.put(&error(401)));
    world.answered(&request, Class::Error, |writer| writer.put(&error(400)));
    assert_eq!((world.event(), world.client.ignored().unproven), (None, 4));
    assert_eq!(world.fails_in_the_end(), Failure::Unproven(Some(400)));
}

#[test]
fn a_challenge_is_followed_with_the_strongest_algorithm() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    assert_eq!(first.len(), 20, "nothing is signed before the server has named its realm");
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert_ne!(message.transaction_id(), Message::parse(&first).unwrap().transaction_id());
    assert_eq!(message.find(), Ok(Some(Username(b"alice"))));
    assert_eq!(message.find(), Ok(Some(Realm("example.org"))));
    assert_eq!(message.find(), Ok(Some(NEW_NONCE)));
    assert_eq!(message.find(), Ok(Some(PasswordAlgorithms::SHA256_AND_MD5)));
    assert_eq!(message.find(), Ok(Some(ChosenAlgorithm(PasswordAlgorithm::Sha256))));
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Sha256);
    assert!(message.integrity_holds_with(&key, Integrity::Sha256));
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha1));
    assert_eq!(world.event(), None, "the weaker attribute proves nothing");
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();
}

#[test]
fn a_server_from_before_rfc8489_gets_what_it_knows() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    // A list that the nonce does not vouch for is no list.
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, OLD_NONCE));
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert!(!message.has(Kind::PASSWORD_ALGORITHM) && !message.has(Kind::PASSWORD_ALGORITHMS));
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Md5);
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert!(message.integrity_holds(&key));
    world.answered(&second, Class::Success, |writer| writer.put(&mapped()).integrity(&key));
    world.assert_success();
}

#[test]
fn a_server_that_offers_it_gets_a_hash_for_a_user_name() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, ANONYMOUS_NONCE));
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert_eq!(message.find(), Ok(Some(Userhash(userhash("alice", "example.org")))));
    assert!(!message.has(Kind::USERNAME));
}

#[test]
fn a_401_is_followed_once() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    world.answered(&second, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    assert_eq!(world.failure(), Some(Failure::Unauthenticated));
    assert_eq!(world.poll(), Output::Idle(None));
}

#[test]
fn a_438_is_followed_a_bounded_number_of_times() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    for _ in 0..MAX_STALE {
        let request = world.sent();
        world.answered(&request, Class::Error, |writer| challenge(writer, 438, NEW_NONCE));
    }
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| challenge(writer, 438, NEW_NONCE));
    assert_eq!(world.failure(), Some(Failure::AlwaysStale));
}

#[test]
fn a_438_without_a_realm_keeps_the_one_there_was() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, OLD_NONCE));
    let second = world.sent();
    world.answered(&second, Class::Error, |w| w.put(&error(438)).put(&Nonce(b"fresh")));
    let third = world.sent();
    let message = Message::parse(&third).unwrap();
    assert_eq!(message.find(), Ok(Some(Realm("example.org"))));
    assert_eq!(message.find(), Ok(Some(Nonce(b"fresh"))));
}

/// RFC 8489 §9.2.1: the bid-down attack that the nonce cookie is there for.
#[test]
fn a_challenge_with_its_algorithms_struck_out_is_ignored() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |w| w.put(&error(401)).put(&Realm("example.org")).put(&NEW_NONCE));
    assert_eq!((world.event(), world.client.ignored().forged), (None, 1));
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    assert_eq!(Message::parse(&world.sent()).unwrap().integrity(), Some(Integrity::Sha256));
}

#[test]
fn no_challenge_leads_to_a_weaker_algorithm() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    for code in [401, 438] {
        world.answered(&second, Class::Error, |w| {
            w.put(&error(code)).put(&Realm("example.org")).put(&OLD_NONCE)
        });
        world.answered(&second, Class::Error, |w| {
            let md5_only = [0, 1, 0, 0];
            w.put(&error(code))
                .put(&Realm("example.org"))
                .put(&NEW_NONCE)
                .put_raw(Kind::PASSWORD_ALGORITHMS, &md5_only)
        });
    }
    assert_eq!((world.event(), world.client.ignored().forged), (None, 4));
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Sha256);
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();
}

#[test]
fn the_next_request_to_the_same_server_is_signed_at_once() {
    let request = long_term();
    let mut world = World::asking(request.clone());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Sha256);
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();

    world.client.request(world.now, path(), request).unwrap();
    let third = world.sent();
    assert!(Message::parse(&third).unwrap().integrity_holds(&key));
    // Other credentials know nothing of that session.
    world.client.request(world.now, path(), long_term()).unwrap();
    assert_eq!(world.sent().len(), 20);
}

#[test]
fn an_unusable_challenge_fails_the_request() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| writer.put(&error(401)).put(&Realm("example.org")));
    assert_eq!(world.failure(), Some(Failure::BadAnswer), "no nonce");

    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |w| {
        let unheard_of = [0x7F, 0, 0, 0];
        w.put(&error(401))
            .put(&Realm("example.org"))
            .put(&NEW_NONCE)
            .put_raw(Kind::PASSWORD_ALGORITHMS, &unheard_of)
    });
    assert_eq!(world.failure(), Some(Failure::BadAnswer), "no algorithm that we know");
}

/// A 401 of a server from before RFC 8489.
fn old_challenge(writer: Writer<'_>) -> Writer<'_> {
    writer.put(&error(401)).put(&Realm("example.org")).put(&OLD_NONCE)
}

fn long_term_key(algorithm: PasswordAlgorithm) -> Key {
    Key::long_term("alice", "example.org", "secret", algorithm)
}

/// A world in which the server has proven that it signs with SHA-256.
fn with_proven_session(request: &Request) -> World {
    let mut world = World::asking(request.clone());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    let key = long_term_key(PasswordAlgorithm::Sha256);
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();
    world
}

/// One forged challenge costs one request, not the server (RFC 8489 §9.2.3.1).
#[test]
fn a_session_that_no_answer_has_proven_ends_with_its_request() {
    let request = long_term();
    let mut world = World::asking(request.clone());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE)); // not the server
    let second = world.sent();
    world.answered(&second, Class::Error, old_challenge);
    assert_eq!(world.fails_in_the_end(), Failure::Unproven(Some(401)));

    world.client.request(world.now, path(), request).unwrap();
    let third = world.sent();
    assert_eq!(third.len(), 20, "nothing is signed in a session that proved nothing");
    world.answered(&third, Class::Error, old_challenge);
    let fourth = world.sent();
    let key = long_term_key(PasswordAlgorithm::Md5);
    assert!(Message::parse(&fourth).unwrap().integrity_holds(&key));
    world.answered(&fourth, Class::Success, |writer| writer.put(&mapped()).integrity(&key));
    world.assert_success();
}

/// RFC 8489 §9.2.1: what one request has proven holds for those that began before it.
#[test]
fn a_request_begun_earlier_cannot_be_talked_into_a_weaker_algorithm() {
    let request = long_term();
    let mut world = World::asking(request.clone());
    let first = world.sent();
    world.client.request(world.now, path(), request.clone()).unwrap();
    let other = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    let key = long_term_key(PasswordAlgorithm::Sha256);
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    assert!(matches!(world.event(), Some(Event::Answered(_))));

    world.answered(&other, Class::Error, old_challenge);
    assert_eq!((world.event(), world.client.ignored().forged), (None, 1));
    world.answered(&other, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    assert_eq!(Message::parse(&world.sent()).unwrap().integrity(), Some(Integrity::Sha256));
}

#[test]
fn a_password_that_was_accepted_and_is_refused_is_not_tried_again_in_that_request() {
    let request = long_term();
    let mut world = with_proven_session(&request);
    world.client.request(world.now, path(), request.clone()).unwrap();
    let signed = world.sent();
    world.answered(&signed, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    assert_eq!(world.failure(), Some(Failure::Unauthenticated));
    // The next one asks anew, and still does not fall below what was proven.
    world.client.request(world.now, path(), request).unwrap();
    let anew = world.sent();
    assert_eq!(anew.len(), 20);
    world.answered(&anew, Class::Error, old_challenge);
    assert_eq!((world.event(), world.client.ignored().forged), (None, 1));
}

#[test]
fn the_first_algorithm_on_the_list_is_the_one_the_server_prefers() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    let md5_first = [0, 1, 0, 0, 0, 2, 0, 0];
    world.answered(&first, Class::Error, |w| {
        let w = w.put(&error(401)).put(&Realm("example.org")).put(&NEW_NONCE);
        w.put_raw(Kind::PASSWORD_ALGORITHMS, &md5_first)
    });
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert_eq!(message.find(), Ok(Some(ChosenAlgorithm(PasswordAlgorithm::Md5))));
    assert!(message.integrity_holds_with(&long_term_key(PasswordAlgorithm::Md5), Integrity::Sha256));
}

/// RFC 8489 §9.2.5, the last rule.
#[test]
fn a_success_with_its_algorithms_struck_out_is_ignored() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Success, |writer| writer.put(&mapped()).put(&NEW_NONCE));
    assert_eq!((world.event(), world.client.ignored().forged), (None, 1));
}

/// RFC 8489 §9.1.5.
#[test]
fn what_a_server_signs_with_is_what_it_is_offered_from_then_on() {
    let key = Key::short_term("secret");
    for which in [Integrity::Sha1, Integrity::Sha256] {
        let request = short_term(Offer::Both);
        let mut world = World::asking(request.clone());
        let first = world.sent();
        world.answered(&first, Class::Success, |w| w.put(&mapped()).integrity_with(&key, which));
        world.assert_success();
        world.client.request(world.now, path(), request).unwrap();
        let second = world.sent();
        let message = Message::parse(&second).unwrap();
        for either in [Integrity::Sha1, Integrity::Sha256] {
            assert_eq!(message.integrity_holds_with(&key, either), either == which);
        }
    }
}

#[test]
fn an_answer_may_carry_more_than_what_was_offered() {
    let key = Key::short_term("secret");
    let mut world = World::asking(short_term(Offer::Sha1));
    let request = world.sent();
    world.answered(&request, Class::Success, |w| {
        w.put(&mapped()).integrity(&key).integrity_with(&key, Integrity::Sha256)
    });
    world.assert_success();
}

/// RFC 8489 §14.6: cutting the value short is for usages that say so, and Binding does not.
#[test]
fn a_truncated_signature_proves_nothing() {
    let mut world = World::asking(short_term(Offer::Sha256));
    let request = world.sent();
    let id = Message::parse(&request).unwrap().transaction_id();
    let mut bytes = answer(id, Class::Success, |writer| writer.put(&mapped()));
    let length = (bytes.len() - 20 + 4 + 16) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let tag = Hmac::<Sha256>::new_from_slice(b"secret").unwrap().chain_update(&bytes).finalize().into_bytes();
    bytes.extend([0, 0x1C, 0, 16]);
    bytes.extend(&tag[..16]);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.integrity_holds_truncated(&Key::short_term("secret")));
    let _ = world.arrives(path(), &bytes);
    assert_eq!((world.event(), world.client.ignored().unproven), (None, 1));
}

/// RFC 8489 §9.1.4: what comes over a connection comes once.
#[test]
fn over_a_connection_an_unsigned_answer_ends_the_request() {
    let mut world = World::new();
    let path = Path::tcp(path().local, path().remote);
    world.client.request(world.now, path, short_term(Offer::Both)).unwrap();
    let mut buf = [0; MIN_BUFFER];
    let Output::Transmit { len, .. } = world.client.poll_output(world.now, &mut buf) else { panic!() };
    let id = Message::parse(&buf[..len]).unwrap().transaction_id();
    let _ = world.arrives(path, &answer(id, Class::Error, |writer| writer.put(&error(401))));
    assert_eq!(world.failure(), Some(Failure::Unproven(Some(401))));
}

#[test]
fn a_request_that_does_not_fit_into_a_packet_fails_and_says_so() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    let (realm, nonce) = ("r".repeat(700), [b'n'; 763]);
    world.answered(&first, Class::Error, |w| w.put(&error(401)).put(&Realm(&realm)).put(&Nonce(&nonce)));
    assert_eq!(world.failure(), Some(Failure::TooLong));
}

#[test]
fn a_challenge_that_is_followed_measures_the_round_trip() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.now += Duration::from_millis(80);
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let _ = world.sent();
    assert_eq!(world.poll(), Output::Idle(Some(world.now + Duration::from_millis(240))));
    // And the first transaction is no more.
    let id = Message::parse(&first).unwrap().transaction_id();
    let late = answer(id, Class::Success, |writer| writer.put(&mapped()));
    assert_eq!(world.arrives(path(), &late), Verdict::Unclaimed);
}
