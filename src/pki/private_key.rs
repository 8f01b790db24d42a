//! Private keys in PEM: the one reader of them, for the CA's key and for a master's.

use crate::pki::oid::{EC_PUBLIC_KEY, ED25519, PRIME256V1, RSA_ENCRYPTION, SECP384R1, describe};
use crate::pki::public_key::{KeyType, PublicKey};
use crate::pki::strict_der;
use clap::ValueEnum;
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
use zeroize::Zeroizing;

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    #[error(
        "it is encrypted, and nobody is there to type a passphrase: decrypt it with \
         openssl pkey, and protect it by its mode (0400)"
    )]
    Encrypted,
    #[error("it holds no PEM block of a private key")]
    NoKey,
    #[error("it holds more than one private key: leave one")]
    SeveralKeys,
    /// A kind of key that is not supported.
    #[error(
        "it is a key of {0}: use ECDSA on P-256 or P-384, RSA of 2048, 3072 or 4096 bits, or Ed25519"
    )]
    Kind(String),
    /// Its public key is neither in the file nor known from elsewhere.
    #[error("its public key is not in it: write it with openssl pkey, which puts it in")]
    NoPublicKey,
    #[error("its contents cannot be read as a private key: is the file whole?")]
    Malformed,
    /// It belongs to another public key than the expected one.
    #[error(
        "it does not belong to the CA certificate: put the key and certificate of one CA there"
    )]
    Mismatch,
    /// The system's random numbers failed.
    #[error("signing with it failed")]
    Signing,
}

/// A private key and its public half. It cannot be shown or copied.
pub(crate) struct PrivateKey {
    pair: KeyPair,
    public_key: PublicKey,
}

enum KeyPair {
    Ecdsa(EcdsaKeyPair, &'static SignatureAlgorithm),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl PrivateKey {
    /// Reads the one private key in a PEM file: PKCS#8, SEC1 or PKCS#1.
    ///
    /// With `expected`, the key must belong to that public key, and need not repeat what is
    /// known from there: its public half, or its curve.
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub(crate) fn from_pem(
        pem: &[u8],
        expected: Option<&PublicKey>,
    ) -> Result<Self, PrivateKeyError> {
        let blocks = pem::parse_many(pem).map_err(|_| PrivateKeyError::Malformed)?;
        let mut keys = blocks
            .into_iter()
            .filter(|block| block.tag().ends_with("PRIVATE KEY"));
        let block = keys.next().ok_or(PrivateKeyError::NoKey)?;
        if keys.next().is_some() {
            return Err(PrivateKeyError::SeveralKeys);
        }
        // RFC 1421, section 4.6.1.1: how the older formats say that they are encrypted.
        let encrypted = block
            .headers()
            .get("Proc-Type")
            .is_some_and(|value| value.contains("ENCRYPTED"));
        if encrypted || block.tag() == "ENCRYPTED PRIVATE KEY" {
            return Err(PrivateKeyError::Encrypted);
        }
        let label = block.tag().to_owned();
        let der = Zeroizing::new(block.into_contents());
        let pair = match label.as_str() {
            "PRIVATE KEY" => from_pkcs8(&der, expected),
            "EC PRIVATE KEY" => from_sec1(&der, None, expected),
            "RSA PRIVATE KEY" => from_pkcs1(&der),
            "DSA PRIVATE KEY" => Err(PrivateKeyError::Kind("DSA".to_owned())),
            "OPENSSH PRIVATE KEY" => Err(PrivateKeyError::Kind("OpenSSH's own format".to_owned())),
            _ => Err(PrivateKeyError::Kind(label.escape_default().to_string())),
        }?;
        let public_key = match expected {
            Some(expected) if expected.subject_public_key() == pair.der_bytes() => expected.clone(),
            Some(_) => return Err(PrivateKeyError::Mismatch),
            None => public_key(&pair).ok_or(PrivateKeyError::Malformed)?,
        };
        Ok(Self { pair, public_key })
    }

    #[must_use]
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Signs with the one algorithm that the profile has for this kind of key: ECDSA with
    /// SHA-256 on P-256 and SHA-384 on P-384, RSA PKCS#1 v1.5 with SHA-256, Ed25519.
    ///
    /// # Errors
    /// [`PrivateKeyError::Signing`], when the system has no random numbers.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        let random = SystemRandom::new();
        let failed = |_| PrivateKeyError::Signing;
        match &self.pair {
            KeyPair::Ecdsa(pair, _) => Ok(pair
                .sign(&random, message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
            KeyPair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

/// The kinds of key that can be made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// The system has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system's random numbers failed")]
pub(crate) struct NoRandomNumbers;

/// Makes a private key: PKCS#8 DER.
///
/// # Errors
/// [`NoRandomNumbers`].
pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, NoRandomNumbers> {
    let random = SystemRandom::new();
    let algorithm = match algorithm {
        KeyAlgorithm::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        KeyAlgorithm::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyAlgorithm::Ed25519 => {
            // RFC 8410, section 7. ring would write the newer form, which OpenSSL does not read.
            const BEFORE_SEED: [u8; 16] = [
                0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
                0x04, 0x20,
            ];
            let mut seed = Zeroizing::new([0; 32]);
            random
                .fill(seed.as_mut_slice())
                .map_err(|_| NoRandomNumbers)?;
            return Ok(Zeroizing::new([&BEFORE_SEED, seed.as_slice()].concat()));
        }
    };
    EcdsaKeyPair::generate_pkcs8(algorithm, &random)
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| NoRandomNumbers)
}

fn public_key(pair: &KeyPair) -> Option<PublicKey> {
    let spki = pair.subject_public_key_info();
    PublicKey::from_spki(&strict_der::single(&spki).ok()?).ok()
}

fn from_pkcs8(der: &[u8], expected: Option<&PublicKey>) -> Result<KeyPair, PrivateKeyError> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| PrivateKeyError::Malformed)?;
    let key = info.private_key.as_bytes();
    match info.algorithm.oid.as_bytes() {
        RSA_ENCRYPTION => from_pkcs1(key),
        EC_PUBLIC_KEY => {
            let curve = info
                .algorithm
                .parameters
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
            from_sec1(key, curve, expected)
        }
        ED25519 => from_seed(key),
        other => Err(PrivateKeyError::Kind(describe(other))),
    }
}

/// SEC1 (RFC 5915), or what PKCS#8 wraps of it. The curve may be named outside, inside, or
/// not at all; then it is the expected key's.
fn from_sec1(
    der: &[u8],
    curve: Option<ObjectIdentifier>,
    expected: Option<&PublicKey>,
) -> Result<KeyPair, PrivateKeyError> {
    let key = EcPrivateKey::try_from(der).map_err(|_| PrivateKeyError::Malformed)?;
    let curve = curve.or_else(|| key.parameters.and_then(sec1::EcParameters::named_curve));
    let key_type = match (curve.as_ref().map(ObjectIdentifier::as_bytes), expected) {
        (Some(PRIME256V1), _) => KeyType::P256,
        (Some(SECP384R1), _) => KeyType::P384,
        (Some(other), _) => return Err(PrivateKeyError::Kind(describe(other))),
        (None, Some(expected)) => expected.key_type(),
        (None, None) => {
            let kind = "ECDSA on a curve without a name";
            return Err(PrivateKeyError::Kind(kind.to_owned()));
        }
    };
    if expected.is_some_and(|expected| expected.key_type() != key_type) {
        return Err(PrivateKeyError::Mismatch);
    }
    let (signing, algorithm, len) = match key_type {
        KeyType::P256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, &PKCS_ECDSA_P256_SHA256, 32),
        KeyType::P384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &PKCS_ECDSA_P384_SHA384, 48),
        KeyType::Rsa | KeyType::Ed25519 => return Err(PrivateKeyError::Mismatch),
    };
    // RFC 5915, section 3 fixes the length; some makers left leading zeros out.
    let missing =
        usize::checked_sub(len, key.private_key.len()).ok_or(PrivateKeyError::Malformed)?;
    let mut scalar = Zeroizing::new(Vec::with_capacity(len));
    scalar.resize(missing, 0);
    scalar.extend_from_slice(key.private_key);
    let public_key = expected
        .map(PublicKey::subject_public_key)
        .or(key.public_key)
        .ok_or(PrivateKeyError::NoPublicKey)?;
    // ring refuses a pair that does not belong together.
    EcdsaKeyPair::from_private_key_and_public_key(
        signing,
        &scalar,
        public_key,
        &SystemRandom::new(),
    )
    .map(|pair| KeyPair::Ecdsa(pair, algorithm))
    .map_err(|_| match expected {
        Some(_) => PrivateKeyError::Mismatch,
        None => PrivateKeyError::Malformed,
    })
}

/// PKCS#1 (RFC 8017, appendix A.1.2).
fn from_pkcs1(der: &[u8]) -> Result<KeyPair, PrivateKeyError> {
    let other_size = || PrivateKeyError::Kind("RSA of another size".to_owned());
    let pair = RsaKeyPair::from_der(der).map_err(|rejected| {
        // ring's words for sizes other than those that it signs with.
        match rejected.to_string().as_str() {
            "TooSmall" | "TooLarge" | "PrivateModulusLenNotMultipleOf512Bits" => other_size(),
            _ => PrivateKeyError::Malformed,
        }
    })?;
    if matches!(pair.public().modulus_len(), 256 | 384 | 512) {
        Ok(KeyPair::Rsa(Box::new(pair)))
    } else {
        Err(other_size())
    }
}

/// CurvePrivateKey (RFC 8410, section 7).
fn from_seed(der: &[u8]) -> Result<KeyPair, PrivateKeyError> {
    let seed = <&OctetStringRef>::from_der(der).map_err(|_| PrivateKeyError::Malformed)?;
    Ed25519KeyPair::from_seed_unchecked(seed.as_bytes())
        .map(KeyPair::Ed25519)
        .map_err(|_| PrivateKeyError::Malformed)
}

impl PublicKeyData for KeyPair {
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

/// How rcgen signs a certificate request with it.
impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
