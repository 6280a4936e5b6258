//! Who may speak: TLS 1.3 with raw public keys on both sides (RFC 7250, RFC 8446 §4.4.2).
//!
//! There are no certificates and no authorities. Each side shows its Ed25519 key as a bare
//! `SubjectPublicKeyInfo` and signs the handshake with it; the other compares it with the one it was told to
//! expect, or, if it is a mediator that serves everybody, takes note of it. A client never takes just anyone:
//! whom it connects to is what it knows.
//!
//! There are no session tickets and no early data. A resumed session does not sign anything, so the keys would
//! be bound by a memory of an earlier connection and not by the handshake; early data can be replayed by
//! whoever has recorded it (RFC 8446 §8); and two peers that have just punched gain no round trip worth that.
//!
//! Cryptography is the caller's: what is here takes a [`CryptoProvider`] and never asks for the process's
//! default one.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    ServerConfig, SignatureScheme,
};

use super::keys::{self, OwnKey, PublicKey};
use super::time::NoCalendar;
use super::{Expect, Protocol, SetupError};

/// TLS wants a name for whom it connects to. It is not sent: the key is the name.
pub(super) const SERVER_NAME: &str = "bradawl.invalid";

/// Ready to connect to whoever holds `expected`.
pub(super) fn client(
    own: &OwnKey,
    expected: PublicKey,
    protocol: Protocol,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, SetupError> {
    let verifier = Arc::new(Verifier::new(Expect::Only(expected), provider)?);
    let mut config = ClientConfig::builder_with_details(provider.clone(), NoCalendar::new())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| SetupError::NoTls13)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(shown(own))));
    config.alpn_protocols = vec![protocol.name().to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Ready to be connected to by whom `expect` admits.
pub(super) fn server(
    own: &OwnKey,
    expect: Expect,
    protocol: Protocol,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, SetupError> {
    let verifier = Arc::new(Verifier::new(expect, provider)?);
    let mut config = ServerConfig::builder_with_details(provider.clone(), NoCalendar::new())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| SetupError::NoTls13)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(shown(own))));
    config.alpn_protocols = vec![protocol.name().to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Our key as rustls shows it: where a chain of certificates would be, the bare key.
fn shown(own: &OwnKey) -> Arc<CertifiedKey> {
    let info = CertificateDer::from(keys::write(&own.public).to_vec());
    Arc::new(CertifiedKey::new(vec![info], own.signing.clone()))
}

/// Compares the other side's key, and its signature.
#[derive(Debug)]
struct Verifier {
    expect: Expect,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(expect: Expect, provider: &CryptoProvider) -> Result<Self, SetupError> {
        let algorithms = provider.signature_verification_algorithms;
        if !algorithms.supported_schemes().contains(&SignatureScheme::ED25519) {
            return Err(SetupError::NoEd25519);
        }
        Ok(Self { expect, algorithms })
    }

    /// The alert for this error is `access_denied`, which TLS uses for nothing else: so both sides can tell
    /// that it was the key (see `event.rs`).
    fn check(&self, shown: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        let key = keys::read(shown).filter(|_| rest.is_empty());
        let is_welcome = match (key, self.expect) {
            (Some(key), Expect::Only(expected)) => key == expected,
            (Some(_), Expect::Anyone) => true,
            (None, _) => false,
        };
        if is_welcome { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let info = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &info, signed, &self.algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown, rest).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown, rest).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
