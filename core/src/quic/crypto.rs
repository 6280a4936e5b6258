//! Between quinn-proto and rustls: the one asks for keys, the other has them.
//!
//! quinn-proto has such a piece of its own, but only together with a cryptography library of its choice.
//! Ours is the caller's, so this says the same with rustls alone (RFC 9001 §4). It also says what the peers
//! of this crate do not do: there are no Retry packets and no tokens between them, for the path below has
//! been proven by authenticated checks before the first QUIC packet; whoever sends one has forged it.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use bytes::BytesMut;
use hmac::{Hmac, KeyInit as _, Mac as _};
use quinn_proto::crypto::{
    self, AeadKey, CryptoError, ExportKeyingMaterialError, HandshakeTokenKey, HeaderKey, HmacKey, KeyPair,
    PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::quic::{self, Connection, KeyChange, Secrets, Suite, Version};
use rustls::{CipherSuite, ClientConfig, ServerConfig, SupportedCipherSuite};
use sha2::Sha256;

use super::SetupError;
use super::keys::{self, PublicKey};
use crate::rng::Rng;

/// QUIC version 1, the only one spoken (RFC 9000 §15).
pub(super) const VERSION: u32 = 1;

/// What a connection begins its first packets with, whatever suite it will agree on (RFC 9001 §5.2).
pub(super) fn initial_suite(provider: &CryptoProvider) -> Result<Suite, SetupError> {
    let is_initial = |suite: &&SupportedCipherSuite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256;
    let suite = provider.cipher_suites.iter().find(is_initial).and_then(SupportedCipherSuite::tls13);
    suite.and_then(rustls::Tls13CipherSuite::quic_suite).ok_or(SetupError::NoInitialSuite)
}

/// One side's TLS, and what its first packets are protected with.
pub(super) struct Tls<C> {
    pub(super) config: Arc<C>,
    pub(super) initial: Suite,
}

impl crypto::ClientConfig for Tls<ClientConfig> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        if version != VERSION {
            return Err(ConnectError::UnsupportedVersion);
        }
        let refused = || ConnectError::InvalidServerName(server_name.into());
        let name = ServerName::try_from(server_name).map_err(|_| refused())?.to_owned();
        let config = self.config.clone();
        let inner = quic::ClientConnection::new(config, Version::V1, name, encoded(params));
        // It can only fail for want of randomness, for what quinn-proto has no word.
        let inner = inner.map_err(|_| ConnectError::EndpointStopping)?;
        Ok(Box::new(TlsSession { inner: inner.into(), initial: self.initial, next: None }))
    }
}

impl crypto::ServerConfig for Tls<ServerConfig> {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<crypto::Keys, UnsupportedVersion> {
        if version != VERSION {
            return Err(UnsupportedVersion);
        }
        Ok(boxed(self.initial.keys(dst_cid, rustls::Side::Server, Version::V1)))
    }

    /// Never asked for: no Retry packet is sent.
    fn retry_tag(&self, _: u32, _: &ConnectionId, _: &[u8]) -> [u8; 16] {
        [0; 16]
    }

    fn start_session(self: Arc<Self>, _: u32, params: &TransportParameters) -> Box<dyn crypto::Session> {
        let inner = quic::ServerConnection::new(self.config.clone(), Version::V1, encoded(params));
        let inner = inner.expect("TLS 1.3 and a suite for QUIC were looked for when this was configured");
        Box::new(TlsSession { inner: inner.into(), initial: self.initial, next: None })
    }
}

fn encoded(params: &TransportParameters) -> Vec<u8> {
    let mut bytes = Vec::new();
    params.write(&mut bytes);
    bytes
}

/// One connection's TLS.
struct TlsSession {
    inner: Connection,
    initial: Suite,
    /// What the keys after the present ones grow from (RFC 9001 §6).
    next: Option<Secrets>,
}

impl crypto::Session for TlsSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> crypto::Keys {
        let side = match side {
            Side::Client => rustls::Side::Client,
            Side::Server => rustls::Side::Server,
        };
        boxed(self.initial.keys(dst_cid, side, Version::V1))
    }

    /// Nobody asks: there is one protocol, and no names.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    /// The other side's [`PublicKey`].
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let key: PublicKey = keys::read(self.inner.peer_certificates()?.first()?)?;
        Some(Box::new(key))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        matches!(self.inner, Connection::Client(_)).then_some(false)
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Err(error) = self.inner.read_hs(bytes) else { return Ok(false) };
        let code = match self.inner.alert() {
            Some(alert) => TransportErrorCode::crypto(alert.into()),
            None => TransportErrorCode::PROTOCOL_VIOLATION,
        };
        Err(TransportError { code, frame: None, reason: error.to_string() })
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(mut bytes) = self.inner.quic_transport_parameters() else { return Ok(None) };
        let side = match self.inner {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        };
        Ok(Some(TransportParameters::read(side, &mut bytes)?))
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<crypto::Keys> {
        match self.inner.write_hs(buf)? {
            KeyChange::Handshake { keys } => Some(boxed(keys)),
            KeyChange::OneRtt { keys, next } => {
                self.next = Some(next);
                Some(boxed(keys))
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let next = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(Body(next.local)), remote: Box::new(Body(next.remote)) })
    }

    /// No peer of ours sends one.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let exported = self.inner.export_keying_material(output, label, Some(context));
        exported.map(|_| ()).map_err(|_| ExportKeyingMaterialError)
    }
}

fn boxed(keys: quic::Keys) -> crypto::Keys {
    let quic::Keys { local, remote } = keys;
    crypto::Keys {
        header: KeyPair { local: Box::new(Head(local.header)), remote: Box::new(Head(remote.header)) },
        packet: KeyPair { local: Box::new(Body(local.packet)), remote: Box::new(Body(remote.packet)) },
    }
}

/// Protects what a packet begins with (RFC 9001 §5.4).
struct Head(Box<dyn quic::HeaderProtectionKey>);

impl Head {
    /// The sample begins where the packet number would end if it were as long as it can be.
    const LONGEST_NUMBER: usize = 4;

    /// The parts of a packet that header protection is about: the sample, the first byte, and the bytes that
    /// may be the packet's number. quinn-proto has seen to it that they are there.
    fn parts<'a>(&self, number_at: usize, packet: &'a mut [u8]) -> (&'a [u8], &'a mut u8, &'a mut [u8]) {
        let (head, rest) = packet.split_at_mut(number_at + Self::LONGEST_NUMBER);
        let (first, head) = head.split_first_mut().expect("a packet number follows something");
        (&rest[..self.0.sample_len()], first, &mut head[number_at - 1..])
    }
}

impl HeaderKey for Head {
    fn decrypt(&self, number_at: usize, packet: &mut [u8]) {
        let (sample, first, number) = self.parts(number_at, packet);
        self.0.decrypt_in_place(sample, first, number).expect("the sample is as long as it has to be");
    }

    fn encrypt(&self, number_at: usize, packet: &mut [u8]) {
        let (sample, first, number) = self.parts(number_at, packet);
        self.0.encrypt_in_place(sample, first, number).expect("the sample is as long as it has to be");
    }

    fn sample_size(&self) -> usize {
        self.0.sample_len()
    }
}

/// Protects what a packet says (RFC 9001 §5.3).
struct Body(Box<dyn quic::PacketKey>);

impl PacketKey for Body {
    fn encrypt(&self, number: u64, packet: &mut [u8], header_len: usize) {
        let (header, rest) = packet.split_at_mut(header_len);
        let (body, room) = rest.split_at_mut(rest.len() - self.0.tag_len());
        let tag = self.0.encrypt_in_place(number, header, body).expect("a packet is not too long");
        room.copy_from_slice(tag.as_ref());
    }

    fn decrypt(&self, number: u64, header: &[u8], body: &mut BytesMut) -> Result<(), CryptoError> {
        let plain = self.0.decrypt_in_place(number, header, body).map_err(|_| CryptoError)?;
        let len = plain.len();
        body.truncate(len);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}

/// Makes the reset tokens that our connection ids come with (RFC 9000 §10.3.2). The key lives as long as the
/// session: nothing that comes after it could use them.
pub(super) struct ResetKey(Hmac<Sha256>);

impl ResetKey {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(Hmac::new_from_slice(&rng.bytes::<32>()).expect("HMAC takes keys of any length"))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(&self.0.clone().chain_update(data).finalize().into_bytes());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.0.clone().chain_update(data).verify_slice(signature).map_err(|_| CryptoError)
    }
}

/// Seals no token and opens none.
pub(super) struct NoTokens;

impl HandshakeTokenKey for NoTokens {
    fn aead_from_hkdf(&self, _: &[u8]) -> Box<dyn AeadKey> {
        Box::new(Self)
    }
}

impl AeadKey for NoTokens {
    fn seal(&self, _: &mut Vec<u8>, _: &[u8]) -> Result<(), CryptoError> {
        Err(CryptoError)
    }

    fn open<'a>(&self, _: &'a mut [u8], _: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        Err(CryptoError)
    }
}
