//! Every attribute there is, out of arbitrary bytes: to be written, read again and compared.

use std::net::SocketAddr;

use arbitrary::{Arbitrary, Unstructured};
use bradawl::wire::channel::ChannelNumber;
use bradawl::wire::stun::attr::{self, AddressFamily, Attribute, Kind, PasswordAlgorithms};
use bradawl::wire::stun::{Message, PasswordAlgorithm, TransactionId, Writer};

macro_rules! owned_attributes {
    ($($name:ident($($field:ident: $type:ty),*) => $build:expr;)*) => {
        /// One attribute that owns what it says.
        #[derive(Arbitrary, Clone, Debug)]
        pub enum Owned {
            $(#[allow(missing_docs)] $name { $($field: $type),* },)*
        }

        impl Owned {
            /// Its number; `None` if what it says cannot be said in an attribute.
            pub fn kind(&self) -> Option<Kind> {
                match self {
                    $(Self::$name { $($field),* } => {
                        let build: Option<_> = $build;
                        Some(kind_of(&build?))
                    })*
                }
            }

            /// Adds it to a message.
            pub fn put<'b>(&self, writer: Writer<'b>) -> Writer<'b> {
                match self {
                    $(Self::$name { $($field),* } => {
                        let build: Option<_> = $build;
                        writer.put_some(build.as_ref())
                    })*
                }
            }

            /// Asserts that the first attribute of its kind in `message` says the same.
            pub fn assert_read_from(&self, message: &Message<'_>) {
                match self {
                    $(Self::$name { $($field),* } => {
                        let build: Option<_> = $build;
                        assert_eq!(message.find(), Ok(Some(build.expect("it was written"))));
                    })*
                }
            }
        }
    };
}

fn kind_of<'a, A: Attribute<'a>>(_: &A) -> Kind {
    A::KIND
}

/// Text as long as RFC 8489 allows; longer is not read and so does not come back.
fn text(text: &str, max: usize) -> Option<&str> {
    (text.len() <= max).then_some(text)
}

owned_attributes! {
    MappedAddress(address: SocketAddr) => Some(attr::MappedAddress(plain(*address)));
    XorMappedAddress(address: SocketAddr) => Some(attr::XorMappedAddress(plain(*address)));
    XorPeerAddress(address: SocketAddr) => Some(attr::XorPeerAddress(plain(*address)));
    XorRelayedAddress(address: SocketAddr) => Some(attr::XorRelayedAddress(plain(*address)));
    AlternateServer(address: SocketAddr) => Some(attr::AlternateServer(plain(*address)));
    ResponseOrigin(address: SocketAddr) => Some(attr::ResponseOrigin(plain(*address)));
    OtherAddress(address: SocketAddr) => Some(attr::OtherAddress(plain(*address)));
    SourceAddress(address: SocketAddr) => Some(attr::SourceAddress(plain(*address)));
    ChangedAddress(address: SocketAddr) => Some(attr::ChangedAddress(plain(*address)));
    Username(value: Vec<u8>) => (value.len() <= attr::Username::MAX).then_some(attr::Username(value));
    Realm(value: String) => text(value, attr::Realm::MAX).map(attr::Realm);
    Software(value: String) => text(value, attr::Software::MAX).map(attr::Software);
    AlternateDomain(value: String) => text(value, attr::AlternateDomain::MAX).map(attr::AlternateDomain);
    Userhash(hash: [u8; 32]) => Some(attr::Userhash(*hash));
    Nonce(value: Vec<u8>) => (value.len() <= attr::Nonce::MAX).then_some(attr::Nonce(value));
    ChosenAlgorithm(sha256: bool) => Some(attr::ChosenAlgorithm(algorithm(*sha256)));
    PasswordAlgorithms() => Some(PasswordAlgorithms::SHA256_AND_MD5);
    ErrorCode(code: Code, reason: String) => {
        text(reason, 763).map(|reason| attr::ErrorCode { code: code.0, reason })
    };
    AddressErrorCode(v6: bool, code: Code, reason: String) => {
        let family = family(*v6);
        text(reason, 763).map(|reason| attr::AddressErrorCode { family, code: code.0, reason })
    };
    UnknownAttributes(kinds: [u16; 5], count: u8) => {
        let count = usize::from(*count % 6);
        Some(kinds.iter().take(count).copied().map(Kind).collect::<attr::UnknownAttributes>())
    };
    Priority(number: u32) => Some(attr::Priority(*number));
    UseCandidate() => Some(attr::UseCandidate);
    IceControlled(number: u64) => Some(attr::IceControlled(*number));
    IceControlling(number: u64) => Some(attr::IceControlling(*number));
    ChangeRequest(ip: bool, port: bool) => Some(attr::ChangeRequest { ip: *ip, port: *port });
    ResponsePort(port: u16) => Some(attr::ResponsePort(*port));
    Padding(value: Vec<u8>) => Some(attr::Padding(value));
    Channel(number: u16) => ChannelNumber::new(*number).map(attr::Channel);
    Lifetime(seconds: u32) => Some(attr::Lifetime(*seconds));
    ConnectionId(number: u32) => Some(attr::ConnectionId(*number));
    DontFragment() => Some(attr::DontFragment);
    Data(value: Vec<u8>) => Some(attr::Data(value));
    AccessToken(value: Vec<u8>) => Some(attr::AccessToken(value));
    ThirdPartyAuthorization(value: Vec<u8>) => Some(attr::ThirdPartyAuthorization(value));
    MobilityTicket(value: Vec<u8>) => Some(attr::MobilityTicket(value));
    RequestedAddressFamily(v6: bool) => Some(attr::RequestedAddressFamily(family(*v6)));
    AdditionalAddressFamily(v6: bool) => Some(attr::AdditionalAddressFamily(family(*v6)));
    RequestedTransport(protocol: u8) => Some(attr::RequestedTransport(*protocol));
    EvenPort(reserve_next: bool) => Some(attr::EvenPort { reserve_next: *reserve_next });
    ReservationToken(token: [u8; 8]) => Some(attr::ReservationToken(*token));
    Icmp(icmp_type: u8, code: u16, data: [u8; 4]) => {
        Some(attr::Icmp { icmp_type: icmp_type & 0x7F, code: code & 0x1FF, data: *data })
    };
    Help(other_port: u16, delay: u16, token: u64) => {
        Some(attr::Help { other_port: *other_port, delay: *delay, token: *token })
    };
    HandOver(client: SocketAddr, answerer: SocketAddr, port: u16, fingerprint: bool, classic: Option<[u8; 4]>) => {
        Some(attr::HandOver {
            client: canonical(*client),
            answerer: canonical(*answerer),
            asked_port: *port,
            fingerprint: *fingerprint,
            classic: *classic,
        })
    };
}

/// An error code from 300 to 699, the only ones there are.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub u16);

impl<'a> Arbitrary<'a> for Code {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        bytes.int_in_range(300..=699).map(Self)
    }
}

/// The wire carries neither a flow label nor a scope.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// IPv4 addresses are not told from what IPv6 writes for them.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

const fn algorithm(sha256: bool) -> PasswordAlgorithm {
    if sha256 { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 }
}

const fn family(v6: bool) -> AddressFamily {
    if v6 { AddressFamily::V6 } else { AddressFamily::V4 }
}

/// Reads every attribute there is out of a message, for whatever that may do.
pub fn read_everything(message: &Message<'_>) {
    let id: TransactionId = message.transaction_id();
    macro_rules! read {
        ($($name:ident)*) => {$(
            if let Ok(Some(attribute)) = message.find::<attr::$name>() {
                // What was read can be written.
                let mut value = vec![0; attribute.encoded_len()];
                attribute.encode(&mut value, &id);
            }
        )*};
    }
    read! {
        MappedAddress XorMappedAddress XorPeerAddress XorRelayedAddress AlternateServer ResponseOrigin
        OtherAddress SourceAddress ChangedAddress Username Realm Software AlternateDomain Userhash Nonce
        ChosenAlgorithm PasswordAlgorithms ErrorCode AddressErrorCode UnknownAttributes Priority UseCandidate
        IceControlled IceControlling ChangeRequest ResponsePort Padding Channel Lifetime ConnectionId
        DontFragment Data AccessToken ThirdPartyAuthorization MobilityTicket RequestedAddressFamily
        AdditionalAddressFamily RequestedTransport EvenPort ReservationToken Icmp Help HandOver
    }
    if let Ok(Some(nonce)) = message.find::<attr::Nonce>() {
        let _ = nonce.security_features();
    }
    if let Ok(Some(offered)) = message.find::<PasswordAlgorithms>() {
        let _ = offered.strongest();
    }
}
