//! The master's private key: made once, never overwritten, never sent.

use super::store::{self, StoreError};
use crate::ca::pem_block;
use crate::exact;
use crate::key::{
    EC_PUBLIC_KEY, ED25519, PRIME256V1, PublicKey, RSA_ENCRYPTION, SECP384R1, describe,
};
use der::Decode as _;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use pkcs8::PrivateKeyInfoRef;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm, SigningKey,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use sec1::EcPrivateKey;
use serde::Deserialize;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest key file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

/// The kinds of key that can be made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NewKey {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// Why there is no key to go by. One that is in place is never overwritten.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// It cannot be read.
    #[error("key {path}: it cannot be read: {source}")]
    Unreadable {
        /// Its path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is none that can be used.
    #[error("key {path}: {cause}: move it away, and the next run makes a new one")]
    Unusable {
        /// Its path.
        path: String,
        /// Why not.
        cause: Cause,
    },
    /// A new one cannot be put in place.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random numbers.
    #[error("key: the system's random numbers failed: report it")]
    Random,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It is encrypted.
    #[error("it is encrypted, and nobody is there to type a passphrase: decrypt it")]
    Encrypted,
    /// There is not one private key in it.
    #[error("it does not hold one PEM block of a private key")]
    Blocks,
    /// A kind that cannot be used.
    #[error(
        "it is a key of {0}: P-256, P-384, RSA of 2048, 3072 or 4096 bits, and Ed25519 would do"
    )]
    Kind(String),
    /// Its public half is not in it.
    #[error("its public key is not in it: write it with openssl pkey, which puts it in")]
    NoPublicKey,
    /// It cannot be read.
    #[error("its contents cannot be read as a private key")]
    Malformed,
}

/// The master's key. It cannot be shown or copied.
pub struct PrivateKey {
    pair: Pair,
    public_key: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair, &'static SignatureAlgorithm),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl PrivateKey {
    /// Loads the key in place. `None` if there is none.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn load(path: &Path) -> Result<Option<Self>, PrivateKeyError> {
        let shown = || path.display().to_string();
        let pem = match store::read(path, SIZE_LIMIT) {
            Ok(pem) => Zeroizing::new(pem),
            // A link to nowhere is not nothing: it is somebody's to repair.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
                return Ok(None);
            }
            Err(source) => {
                return Err(PrivateKeyError::Unreadable {
                    path: shown(),
                    source,
                });
            }
        };
        Self::from_pem(&pem)
            .map(Some)
            .map_err(|cause| PrivateKeyError::Unusable {
                path: shown(),
                cause,
            })
    }

    /// Makes a key and puts it where there is none, readable by its owner alone. If another
    /// was put there meanwhile, it is that one.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn make(path: &Path, kind: NewKey) -> Result<Option<Self>, PrivateKeyError> {
        let der = generate(kind)?;
        let pem = Zeroizing::new(pem_block("PRIVATE KEY", &der));
        store::make_directory_for(path)?;
        store::place(path, pem.as_bytes(), 0o400)?;
        Self::load(path)
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn from_pem(pem: &[u8]) -> Result<Self, Cause> {
        let blocks = pem::parse_many(pem).map_err(|_| Cause::Blocks)?;
        let mut keys = blocks
            .iter()
            .filter(|block| block.tag().ends_with("PRIVATE KEY"));
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(Cause::Blocks);
        };
        let pair = match key.tag() {
            _ if key.headers().iter().next().is_some() => return Err(Cause::Encrypted),
            "ENCRYPTED PRIVATE KEY" => return Err(Cause::Encrypted),
            "PRIVATE KEY" => from_pkcs8(key.contents())?,
            "EC PRIVATE KEY" => from_sec1(key.contents(), None)?,
            "RSA PRIVATE KEY" => from_pkcs1(key.contents())?,
            other => return Err(Cause::Kind(other.escape_default().to_string())),
        };
        let spki = pair.subject_public_key_info();
        let public_key = exact::single(&spki)
            .ok()
            .and_then(|spki| PublicKey::from_spki(&spki).ok())
            .ok_or(Cause::Malformed)?;
        Ok(Self { pair, public_key })
    }
}

fn generate(kind: NewKey) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    let random = SystemRandom::new();
    let algorithm = match kind {
        NewKey::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        NewKey::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        NewKey::Ed25519 => {
            // RFC 8410, section 7. ring would write the newer form, which OpenSSL does not read.
            const BEFORE_SEED: [u8; 16] = [
                0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
                0x04, 0x20,
            ];
            let mut seed = Zeroizing::new([0; 32]);
            random
                .fill(seed.as_mut_slice())
                .map_err(|_| PrivateKeyError::Random)?;
            return Ok(Zeroizing::new([&BEFORE_SEED, seed.as_slice()].concat()));
        }
    };
    EcdsaKeyPair::generate_pkcs8(algorithm, &random)
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| PrivateKeyError::Random)
}

fn from_pkcs8(der: &[u8]) -> Result<Pair, Cause> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| Cause::Malformed)?;
    let key = info.private_key.as_bytes();
    match info.algorithm.oid.as_bytes() {
        RSA_ENCRYPTION => from_pkcs1(key),
        EC_PUBLIC_KEY => {
            let curve = info
                .algorithm
                .parameters
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
            from_sec1(key, curve)
        }
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(key).map_err(|_| Cause::Malformed)?;
            Ed25519KeyPair::from_seed_unchecked(seed.as_bytes())
                .map(Pair::Ed25519)
                .map_err(|_| Cause::Malformed)
        }
        other => Err(Cause::Kind(describe(other))),
    }
}

/// SEC1 (RFC 5915), or what PKCS#8 wraps of it.
fn from_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<Pair, Cause> {
    let key = EcPrivateKey::try_from(der).map_err(|_| Cause::Malformed)?;
    let curve = curve.or_else(|| key.parameters.and_then(sec1::EcParameters::named_curve));
    let (signing, algorithm) = match curve.as_ref().map(ObjectIdentifier::as_bytes) {
        Some(PRIME256V1) => (&ECDSA_P256_SHA256_ASN1_SIGNING, &PKCS_ECDSA_P256_SHA256),
        Some(SECP384R1) => (&ECDSA_P384_SHA384_ASN1_SIGNING, &PKCS_ECDSA_P384_SHA384),
        Some(other) => return Err(Cause::Kind(describe(other))),
        None => return Err(Cause::Kind("ECDSA on a curve without a name".to_owned())),
    };
    let public_key = key.public_key.ok_or(Cause::NoPublicKey)?;
    let random = SystemRandom::new();
    EcdsaKeyPair::from_private_key_and_public_key(signing, key.private_key, public_key, &random)
        .map(|pair| Pair::Ecdsa(pair, algorithm))
        .map_err(|_| Cause::Malformed)
}

/// PKCS#1 (RFC 8017, appendix A.1.2).
fn from_pkcs1(der: &[u8]) -> Result<Pair, Cause> {
    let pair = RsaKeyPair::from_der(der)
        .map_err(|_| Cause::Kind("RSA that is damaged, or of another size".to_owned()))?;
    if matches!(pair.public().modulus_len(), 256 | 384 | 512) {
        Ok(Pair::Rsa(Box::new(pair)))
    } else {
        Err(Cause::Kind("RSA of another size".to_owned()))
    }
}

impl PublicKeyData for Pair {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Ecdsa(pair, _) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Ecdsa(_, algorithm) => algorithm,
            Self::Ed25519(_) => &PKCS_ED25519,
            Self::Rsa(_) => &PKCS_RSA_SHA256,
        }
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.pair.algorithm()
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let random = SystemRandom::new();
        let failed = |_| rcgen::Error::RemoteKeyError;
        match &self.pair {
            Pair::Ecdsa(pair, _) => Ok(pair
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}
