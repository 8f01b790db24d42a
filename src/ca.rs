//! The certificate authority: its certificate, its private key, and whether they belong together.
//!
//! Private-key bytes are handled here and nowhere else.

use crate::escape;
use crate::exact;
use crate::key::{
    EC_PUBLIC_KEY, ED25519, KeyRefusal, KeyType, PRIME256V1, PublicKey, RSA_ENCRYPTION, SECP384R1,
    describe,
};
use crate::trusted::{FileError, Protection, TrustedFile};
use der::Decode as _;
use der::asn1::OctetStringRef;
use pkcs8::PrivateKeyInfoRef;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use sec1::EcPrivateKey;
use std::hint::black_box;
use std::path::Path;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use zeroize::Zeroizing;

/// The largest certificate or key file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

const CERTIFICATE: &str = "CA certificate";
const KEY: &str = "CA key";

/// What is wrong with the CA's files.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate cannot serve.
    #[error("CA certificate {path}: {cause}")]
    Certificate {
        /// Its path.
        path: String,
        /// Why not.
        cause: CertificateCause,
    },
    /// The key cannot serve.
    #[error("CA key {path}: {cause}")]
    Key {
        /// Its path.
        path: String,
        /// Why not.
        cause: KeyCause,
    },
}

/// Why a CA certificate cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificateCause {
    /// The file does not hold exactly one PEM certificate.
    #[error("it holds {0}: it must hold one PEM block, CERTIFICATE, and no other")]
    Blocks(String),
    /// The block's contents are not a certificate.
    #[error("its contents are no X.509 certificate")]
    Malformed,
    /// basicConstraints do not say that it is a CA.
    #[error("it is not a CA certificate (no basicConstraints with CA:TRUE)")]
    NotCa,
    /// keyUsage does not allow signing certificates.
    #[error("its keyUsage does not have keyCertSign: it may not sign certificates")]
    NoKeyCertSign,
    /// extendedKeyUsage does not allow client certificates.
    #[error("its extendedKeyUsage does not have clientAuth: etcd would refuse what it signs")]
    NoClientAuth,
    /// An extension that etcd would apply to what it signs, or not understand.
    #[error("its extension {0} would make etcd refuse what it signs: use a CA without it")]
    Extension(String),
    /// Its validity has ended.
    #[error("it expired at {0}: make a new CA; or is the clock wrong?")]
    Expired(String),
    /// Its validity has not begun.
    #[error("it is not valid before {0}: is the clock right?")]
    NotYetValid(String),
    /// Its key is of a kind that is not supported.
    #[error("{0}")]
    Key(#[from] KeyRefusal),
}

/// Why a CA key cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum KeyCause {
    /// It is encrypted.
    #[error(
        "it is encrypted, and nobody is there to type a passphrase: decrypt it with \
         openssl pkey, and protect it by its mode (0400)"
    )]
    Encrypted,
    /// No block of a private key.
    #[error("it holds no PEM block of a private key")]
    NoKey,
    /// More than one block of a private key.
    #[error("it holds more than one private key: leave one")]
    SeveralKeys,
    /// A kind of key that is not supported.
    #[error(
        "it is a key of {0}: use ECDSA on P-256 or P-384, RSA of 2048, 3072 or 4096 bits, or Ed25519"
    )]
    Kind(String),
    /// Its structure cannot be read.
    #[error("its contents cannot be read as a private key: is the file whole?")]
    Malformed,
    /// It is not the certificate's key.
    #[error(
        "it does not belong to the CA certificate: put the key and certificate of one CA there"
    )]
    Mismatch,
    /// The system's random numbers failed while signing.
    #[error("signing with it failed")]
    Signing,
}

/// A CA certificate that may sign, and is in force.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: Vec<u8>,
    subject: Vec<u8>,
    public_key: PublicKey,
    key_identifier: Option<Vec<u8>>,
    not_before: i64,
    not_after: i64,
}

impl CaCertificate {
    /// Loads the CA certificate, and checks that it may sign client certificates now.
    ///
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`CaError`], with the path and the remedy.
    pub fn load(path: &Path, now: i64) -> Result<Self, CaError> {
        let pem = TrustedFile::open(CERTIFICATE, path, Protection::Public)?.read(SIZE_LIMIT)?;
        Self::from_pem(&pem, now).map_err(|cause| CaError::Certificate {
            path: escape::path(path),
            cause,
        })
    }

    /// Takes one PEM certificate, with the same checks.
    ///
    /// # Errors
    /// [`CertificateCause`], with the first check that fails.
    pub fn from_pem(pem: &[u8], now: i64) -> Result<Self, CertificateCause> {
        let blocks =
            pem::parse_many(pem).map_err(|_| CertificateCause::Blocks("broken PEM".to_owned()))?;
        let [block] = blocks.as_slice() else {
            let found = format!("{} PEM blocks", blocks.len());
            return Err(CertificateCause::Blocks(found));
        };
        if block.tag() != "CERTIFICATE" {
            let found = format!("a block {}", block.tag().escape_default());
            return Err(CertificateCause::Blocks(found));
        }
        Self::from_der(block.contents(), now)
    }

    fn from_der(der: &[u8], now: i64) -> Result<Self, CertificateCause> {
        exact::single(der).map_err(|_| CertificateCause::Malformed)?;
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateCause::Malformed)?;
        may_sign(&certificate)?;
        let validity = certificate.validity();
        if now < validity.not_before.timestamp() {
            return Err(CertificateCause::NotYetValid(
                validity.not_before.to_string(),
            ));
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateCause::Expired(validity.not_after.to_string()));
        }
        let spki =
            exact::single(certificate.public_key().raw).map_err(|_| CertificateCause::Malformed)?;
        let key_identifier = certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
                _ => None,
            });
        Ok(Self {
            der: der.to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
            public_key: PublicKey::from_spki(&spki)?,
            key_identifier,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate, PEM, and nothing else that its file may hold.
    #[must_use]
    pub fn pem(&self) -> String {
        pem_certificate(&self.der)
    }

    /// The subject, DER, byte for byte: the issuer of what it signs.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Its public key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Its subject key identifier, if it has one.
    #[must_use]
    pub fn key_identifier(&self) -> Option<&[u8]> {
        self.key_identifier.as_deref()
    }

    /// The beginning of its validity, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The end of its validity, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// A certificate in PEM (RFC 7468, section 5).
#[must_use]
pub fn pem_certificate(der: &[u8]) -> String {
    pem_block("CERTIFICATE", der)
}

/// One PEM block with lines of 64 characters.
#[must_use]
pub fn pem_block(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

/// RFC 5280, sections 4.2.1.3, 4.2.1.9 and 4.2.1.12. Go, and so etcd, applies a CA's
/// extendedKeyUsage to what it signs.
fn may_sign(certificate: &X509Certificate<'_>) -> Result<(), CertificateCause> {
    let malformed = |_| CertificateCause::Malformed;
    let constraints = certificate.basic_constraints().map_err(malformed)?;
    if !constraints.is_some_and(|extension| extension.value.ca) {
        return Err(CertificateCause::NotCa);
    }
    let usage = certificate.key_usage().map_err(malformed)?;
    if usage.is_some_and(|extension| !extension.value.key_cert_sign()) {
        return Err(CertificateCause::NoKeyCertSign);
    }
    let extended = certificate.extended_key_usage().map_err(malformed)?;
    if extended.is_some_and(|extension| !extension.value.any && !extension.value.client_auth) {
        return Err(CertificateCause::NoClientAuth);
    }
    // What a path's end must fulfil, and what nobody there knows (sections 4.2 and 4.2.1.10).
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(_) => {
                return Err(CertificateCause::Extension("nameConstraints".to_owned()));
            }
            ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                return Err(CertificateCause::Extension(extension.oid.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The CA's private key, which belongs to its certificate. It cannot be shown or copied.
pub struct CaKey(Kind);

enum Kind {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// The CA key's file, opened and judged, of which nothing has been read.
#[derive(Debug)]
pub struct CaKeyFile {
    file: TrustedFile,
    path: String,
}

impl CaKeyFile {
    /// Opens the key's file.
    ///
    /// # Errors
    /// [`FileError`]: it is missing, or not protected as a secret must be.
    pub fn open(path: &Path) -> Result<Self, CaError> {
        Ok(Self {
            file: TrustedFile::open(KEY, path, Protection::Secret)?,
            path: escape::path(path),
        })
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`CaError`]: it is no key that can sign, or not the certificate's.
    pub fn read(self, certificate: &CaCertificate) -> Result<CaKey, CaError> {
        let pem = self.file.read(SIZE_LIMIT)?;
        parse_key(&pem, certificate.public_key()).map_err(|cause| CaError::Key {
            path: self.path,
            cause,
        })
    }

    /// Reads the key for one piece of work, after which it is not in memory any more.
    ///
    /// The heap is wiped as it is freed (see `main`), and the stack here: ring keeps keys on
    /// both, and wipes neither.
    ///
    /// # Errors
    /// [`CaError`], as [`CaKeyFile::read`] does, or the work's own.
    pub fn with_key<T, E: From<CaError>>(
        self,
        certificate: &CaCertificate,
        work: impl FnOnce(&CaKey) -> Result<T, E>,
    ) -> Result<T, E> {
        let outcome = in_a_frame_of_its_own(|| work(&self.read(certificate)?));
        wipe_stack();
        outcome
    }
}

/// Whether a private key in PEM is the one of this public key; it is looked at, and wiped.
#[must_use]
pub fn key_fits(pem: &[u8], public_key: &PublicKey) -> bool {
    parse_key(pem, public_key).is_ok()
}

/// A CA's private key and certificate, which fit, as they are kept in a backup: two PEM blocks.
pub struct Bundle {
    key: Zeroizing<String>,
    certificate: CaCertificate,
}

impl Bundle {
    /// Takes the two from their files.
    ///
    /// # Errors
    /// [`CaError`], as loading each of them has it.
    pub fn load(certificate: &Path, key: &Path, now: i64) -> Result<Self, CaError> {
        let path = escape::path(key);
        let certificate = CaCertificate::load(certificate, now)?;
        let pem = CaKeyFile::open(key)?.file.read(SIZE_LIMIT)?;
        Self::from_key(&pem, certificate).map_err(|cause| CaError::Key { path, cause })
    }

    /// Takes the two from what [`Bundle::to_pem`] has made, which was found at `path`.
    ///
    /// # Errors
    /// [`CaError`]: it does not hold a CA's key and certificate that fit.
    pub fn parse(pem: &[u8], path: &Path, now: i64) -> Result<Self, CaError> {
        let path = escape::path(path);
        let blocks = pem::parse_many(pem).unwrap_or_default();
        let mut certificates = blocks.iter().filter(|b| b.tag() == "CERTIFICATE");
        let certificate = match (certificates.next(), certificates.next()) {
            (Some(block), None) => CaCertificate::from_der(block.contents(), now),
            (None, _) => Err(CertificateCause::Blocks("no certificate".to_owned())),
            _ => Err(CertificateCause::Blocks("several certificates".to_owned())),
        };
        let certificate = certificate.map_err(|cause| CaError::Certificate {
            path: path.clone(),
            cause,
        })?;
        Self::from_key(pem, certificate).map_err(|cause| CaError::Key { path, cause })
    }

    fn from_key(pem: &[u8], certificate: CaCertificate) -> Result<Self, KeyCause> {
        // The one key block among whatever else there is, and as it stands: an encoding of ours
        // would be one more thing to get wrong.
        parse_key(pem, certificate.public_key())?;
        let blocks = pem::parse_many(pem).map_err(|_| KeyCause::Malformed)?;
        let key = blocks
            .into_iter()
            .find(|block| block.tag().ends_with("PRIVATE KEY"))
            .ok_or(KeyCause::NoKey)?;
        let label = key.tag().to_owned();
        let der = Zeroizing::new(key.into_contents());
        Ok(Self {
            key: Zeroizing::new(pem_block(&label, &der)),
            certificate,
        })
    }

    /// The private key, PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Key and certificate, PEM: what `age --decrypt` shows, and can be put in place by hand.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new([self.key.as_str(), &self.certificate.pem()].concat())
    }
}

#[inline(never)]
fn in_a_frame_of_its_own<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Overwrites what calls that have returned left on the stack, deeper than any of them went.
#[inline(never)]
fn wipe_stack() {
    black_box([0_u8; STACK]);
}

/// A whole request uses 19 KiB, whatever the CA's key (valgrind --tool=massif --stacks=yes);
/// unoptimized builds several times that.
const STACK: usize = if cfg!(debug_assertions) { 256 } else { 32 } * 1024;

impl CaKey {
    /// Signs with the one algorithm that the profile has for this kind of key: ECDSA with
    /// SHA-256 on P-256 and SHA-384 on P-384, RSA PKCS#1 v1.5 with SHA-256, Ed25519.
    ///
    /// # Errors
    /// [`KeyCause::Signing`], when the system has no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyCause> {
        let random = SystemRandom::new();
        match &self.0 {
            Kind::Ecdsa(key) => key
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyCause::Signing),
            Kind::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyCause::Signing)?;
                Ok(signature)
            }
        }
    }
}

fn parse_key(pem: &[u8], public_key: &PublicKey) -> Result<CaKey, KeyCause> {
    let blocks = pem::parse_many(pem).map_err(|_| KeyCause::Malformed)?;
    let mut keys = blocks
        .into_iter()
        .filter(|block| block.tag().ends_with("PRIVATE KEY"));
    let block = keys.next().ok_or(KeyCause::NoKey)?;
    if keys.next().is_some() {
        return Err(KeyCause::SeveralKeys);
    }
    // RFC 1421, section 4.6.1.1: how the older formats say that they are encrypted.
    let encrypted = block
        .headers()
        .get("Proc-Type")
        .is_some_and(|value| value.contains("ENCRYPTED"));
    if encrypted || block.tag() == "ENCRYPTED PRIVATE KEY" {
        return Err(KeyCause::Encrypted);
    }
    let label = block.tag().to_owned();
    let der = Zeroizing::new(block.into_contents());
    match label.as_str() {
        "PRIVATE KEY" => from_pkcs8(&der, public_key),
        "EC PRIVATE KEY" => from_sec1(&der, None, public_key),
        "RSA PRIVATE KEY" => from_pkcs1(&der, public_key),
        "DSA PRIVATE KEY" => Err(KeyCause::Kind("DSA".to_owned())),
        "OPENSSH PRIVATE KEY" => Err(KeyCause::Kind("OpenSSH's own format".to_owned())),
        _ => Err(KeyCause::Kind(label.escape_default().to_string())),
    }
}

fn from_pkcs8(der: &[u8], public_key: &PublicKey) -> Result<CaKey, KeyCause> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| KeyCause::Malformed)?;
    let key = info.private_key.as_bytes();
    let curve = info
        .algorithm
        .parameters
        .and_then(|any| any.decode_as::<der::asn1::ObjectIdentifier>().ok());
    match info.algorithm.oid.as_bytes() {
        RSA_ENCRYPTION => from_pkcs1(key, public_key),
        EC_PUBLIC_KEY => from_sec1(key, curve, public_key),
        ED25519 => from_seed(key, public_key),
        other => Err(KeyCause::Kind(describe(other))),
    }
}

/// SEC1 (RFC 5915), or what PKCS#8 wraps of it. The curve may be named outside, inside, or
/// not at all; then it is the certificate's.
fn from_sec1(
    der: &[u8],
    curve: Option<der::asn1::ObjectIdentifier>,
    public_key: &PublicKey,
) -> Result<CaKey, KeyCause> {
    let key = EcPrivateKey::try_from(der).map_err(|_| KeyCause::Malformed)?;
    let curve = curve.or_else(|| key.parameters.and_then(sec1::EcParameters::named_curve));
    let key_type = match curve.as_ref().map(der::asn1::ObjectIdentifier::as_bytes) {
        Some(PRIME256V1) => KeyType::P256,
        Some(SECP384R1) => KeyType::P384,
        Some(other) => return Err(KeyCause::Kind(describe(other))),
        None => public_key.key_type(),
    };
    if key_type != public_key.key_type() {
        return Err(KeyCause::Mismatch);
    }
    let (algorithm, len): (&'static EcdsaSigningAlgorithm, usize) = match key_type {
        KeyType::P256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, 32),
        KeyType::P384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, 48),
        KeyType::Rsa | KeyType::Ed25519 => return Err(KeyCause::Mismatch),
    };
    // RFC 5915, section 3 fixes the length; some makers left leading zeros out.
    let missing = len
        .checked_sub(key.private_key.len())
        .ok_or(KeyCause::Malformed)?;
    let mut scalar = Zeroizing::new(Vec::with_capacity(len));
    scalar.resize(missing, 0);
    scalar.extend_from_slice(key.private_key);
    // ring refuses a pair that does not belong together.
    EcdsaKeyPair::from_private_key_and_public_key(
        algorithm,
        &scalar,
        public_key.subject_public_key(),
        &SystemRandom::new(),
    )
    .map(|pair| CaKey(Kind::Ecdsa(pair)))
    .map_err(|_| KeyCause::Mismatch)
}

/// PKCS#1 (RFC 8017, appendix A.1.2).
fn from_pkcs1(der: &[u8], public_key: &PublicKey) -> Result<CaKey, KeyCause> {
    let pair = RsaKeyPair::from_der(der).map_err(|rejected| {
        // ring's words for sizes other than those that it signs with.
        match rejected.to_string().as_str() {
            "TooSmall" | "TooLarge" | "PrivateModulusLenNotMultipleOf512Bits" => {
                KeyCause::Kind("RSA of another size".to_owned())
            }
            _ => KeyCause::Malformed,
        }
    })?;
    if !matches!(pair.public().modulus_len(), 256 | 384 | 512) {
        return Err(KeyCause::Kind("RSA of another size".to_owned()));
    }
    if pair.public_key().as_ref() != public_key.subject_public_key() {
        return Err(KeyCause::Mismatch);
    }
    Ok(CaKey(Kind::Rsa(Box::new(pair))))
}

/// CurvePrivateKey (RFC 8410, section 7).
fn from_seed(der: &[u8], public_key: &PublicKey) -> Result<CaKey, KeyCause> {
    let seed = <&OctetStringRef>::from_der(der).map_err(|_| KeyCause::Malformed)?;
    if public_key.key_type() != KeyType::Ed25519 {
        return Err(KeyCause::Mismatch);
    }
    Ed25519KeyPair::from_seed_and_public_key(seed.as_bytes(), public_key.subject_public_key())
        .map(|pair| CaKey(Kind::Ed25519(pair)))
        .map_err(|_| KeyCause::Mismatch)
}
