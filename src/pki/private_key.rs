//! Reading private keys in PEM, the CA's and a master's, and signing with them.

use crate::pki::oid::{EC_PUBLIC_KEY, ED25519, PRIME256V1, RSA_ENCRYPTION, SECP384R1, describe};
use crate::pki::public_key::{KeyType, PublicKey};
use crate::pki::strict_der::{
    self, BIT_STRING, Element, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
};
use clap::ValueEnum;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm, SigningKey,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde::Deserialize;
use zeroize::Zeroizing;

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    #[error(
        "it is encrypted, and no passphrase can be entered here: decrypt it with openssl pkey, \
         and protect it with mode 0400"
    )]
    Encrypted,
    #[error("it contains no private key in PEM: put the key there")]
    NoKey,
    #[error("it contains more than one private key: keep only one")]
    SeveralKeys,
    #[error(
        "its key type is not supported ({0}): use ECDSA on P-256 or P-384, RSA with 2048, 3072 or \
         4096 bits, or Ed25519"
    )]
    Kind(String),
    /// The public key is not known from elsewhere, and the file does not contain it in the form that
    /// ring accepts. ring does not compute it.
    #[error(
        "it does not contain its public key as an uncompressed point: rewrite it with \
         openssl ec -conv_form uncompressed, or make a new key"
    )]
    NoPublicKey,
    #[error("its private key cannot be parsed, it may be truncated: replace the file")]
    Malformed,
    #[error("it does not belong to the CA certificate: use the key and certificate of the same CA")]
    Mismatch,
    #[error("signing with it failed")]
    Signing,
}

/// A private key with its public key. It implements neither `Debug` nor `Clone`.
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
    /// Reads the only private key in a PEM file: PKCS#8, SEC1 or PKCS#1.
    ///
    /// With `expected`, the key must belong to that public key, and the file need not name the
    /// curve or contain the public key.
    ///
    /// # Errors
    /// [`PrivateKeyError::Mismatch`] if it belongs to another public key; other variants if the file
    /// has no key that can be used.
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
        // RFC 1421, section 4.6.1.1: the header that marks the older formats as encrypted.
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
            // By its contents: Go reads any of the three forms under any of these labels.
            "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" => from_der(&der, expected),
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

    /// Signs with the algorithm that the profile has for this type of key: ECDSA with
    /// SHA-256 on P-256 and SHA-384 on P-384, RSA PKCS#1 v1.5 with SHA-256, Ed25519.
    ///
    /// # Errors
    /// [`PrivateKeyError::Signing`], if the system's random number generator fails.
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

/// The types of key that can be generated here.
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

#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed")]
pub(crate) struct NoRandomNumbers;

/// Generates a private key: PKCS#8 DER.
///
/// # Errors
/// [`NoRandomNumbers`].
pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, NoRandomNumbers> {
    let random = SystemRandom::new();
    let algorithm = match algorithm {
        KeyAlgorithm::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        KeyAlgorithm::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyAlgorithm::Ed25519 => {
            // RFC 8410, section 7. ring writes the newer form, which OpenSSL does not read.
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

/// Reads PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017).
///
/// Like openssl and Go, it ignores bytes after the key, and what follows the fields that it reads:
/// attributes, for example.
fn from_der(der: &[u8], expected: Option<&PublicKey>) -> Result<KeyPair, PrivateKeyError> {
    const MALFORMED: PrivateKeyError = PrivateKeyError::Malformed;
    let key = strict_der::leading(der).map_err(|_| MALFORMED)?;
    let fields = key.inside(SEQUENCE).ok_or(MALFORMED)?;
    let [version, first, rest @ ..] = fields.as_slice() else {
        return Err(MALFORMED);
    };
    let version = version.contents_of(INTEGER).ok_or(MALFORMED)?;
    match (first.tag, rest) {
        (SEQUENCE, [private_key, optional @ ..]) => {
            let private_key = private_key.contents_of(OCTET_STRING).ok_or(MALFORMED)?;
            from_pkcs8(first, private_key, optional, expected)
        }
        (OCTET_STRING, optional) if version == [1] => {
            from_sec1(first.contents, None, optional, expected)
        }
        (INTEGER, _) => from_pkcs1(&key),
        _ => Err(MALFORMED),
    }
}

fn from_pkcs8(
    algorithm: &Element<'_>,
    private_key: &[u8],
    optional: &[Element<'_>],
    expected: Option<&PublicKey>,
) -> Result<KeyPair, PrivateKeyError> {
    const MALFORMED: PrivateKeyError = PrivateKeyError::Malformed;
    let algorithm = strict_der::algorithm(algorithm).ok_or(MALFORMED)?;
    let key = || strict_der::leading(private_key).map_err(|_| MALFORMED);
    match algorithm.oid {
        RSA_ENCRYPTION => from_pkcs1(&key()?),
        EC_PUBLIC_KEY => {
            let fields = key()?.inside(SEQUENCE).ok_or(MALFORMED)?;
            let [version, scalar, inner @ ..] = fields.as_slice() else {
                return Err(MALFORMED);
            };
            if version.contents_of(INTEGER) != Some(&[1]) {
                return Err(MALFORMED);
            }
            let curve = algorithm
                .parameters
                .and_then(|parameters| parameters.contents_of(OBJECT_IDENTIFIER));
            let optional = [inner, optional].concat();
            let scalar = scalar.contents_of(OCTET_STRING).ok_or(MALFORMED)?;
            from_sec1(scalar, curve, &optional, expected)
        }
        ED25519 => from_seed(key()?.contents_of(OCTET_STRING).ok_or(MALFORMED)?),
        other => Err(PrivateKeyError::Kind(describe(other))),
    }
}
/// The private key of SEC1 (RFC 5915), with the optional fields that follow it there and in PKCS#8.
///
/// The curve may be named outside, inside, or not at all; then it is the expected key's.
fn from_sec1(
    scalar: &[u8],
    curve: Option<&[u8]>,
    optional: &[Element<'_>],
    expected: Option<&PublicKey>,
) -> Result<KeyPair, PrivateKeyError> {
    let inner_curve = optional.iter().find_map(|field| {
        field
            .inside(PARAMETERS)?
            .first()?
            .contents_of(OBJECT_IDENTIFIER)
    });
    let key_type = match (curve.or(inner_curve), expected) {
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
    let public_key = match expected {
        Some(expected) => expected.subject_public_key(),
        None => optional
            .iter()
            .find_map(uncompressed_point)
            .ok_or(PrivateKeyError::NoPublicKey)?,
    };
    // ring rejects keys that do not match.
    EcdsaKeyPair::from_private_key_and_public_key(
        signing,
        &with_length(scalar, len)?,
        public_key,
        &SystemRandom::new(),
    )
    .map(|pair| KeyPair::Ecdsa(pair, algorithm))
    .map_err(|_| match expected {
        Some(_) => PrivateKeyError::Mismatch,
        None => PrivateKeyError::Malformed,
    })
}

/// The identifier octet of `parameters [0]` in SEC1.
const PARAMETERS: u8 = 0xa0;
/// The identifier octet of `publicKey [1]` in SEC1, which is EXPLICIT.
const INNER_PUBLIC_KEY: u8 = 0xa1;
/// The identifier octet of `publicKey [1]` in PKCS#8, which is IMPLICIT.
const OUTER_PUBLIC_KEY: u8 = 0x81;

/// The public key in a field of SEC1 or PKCS#8, if it is an uncompressed point.
fn uncompressed_point<'a>(field: &Element<'a>) -> Option<&'a [u8]> {
    let bits = match field.tag {
        INNER_PUBLIC_KEY => field
            .inside(INNER_PUBLIC_KEY)?
            .first()?
            .contents_of(BIT_STRING)?,
        _ => field.contents_of(OUTER_PUBLIC_KEY)?,
    };
    match bits {
        [0, point @ ..] if point.first() == Some(&0x04) => Some(point),
        _ => None,
    }
}

/// The scalar with the length that RFC 5915, section 3 requires. Some tools omit leading zeros, and
/// GnuTLS adds one before a high bit that is set.
fn with_length(scalar: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    let surplus = scalar.len().saturating_sub(len);
    let (zeros, scalar) = scalar.split_at_checked(surplus).unwrap_or_default();
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(PrivateKeyError::Malformed);
    }
    let mut padded = Zeroizing::new(Vec::with_capacity(len));
    padded.resize(len.saturating_sub(scalar.len()), 0);
    padded.extend_from_slice(scalar);
    Ok(padded)
}

/// PKCS#1 (RFC 8017, appendix A.1.2).
fn from_pkcs1(key: &Element<'_>) -> Result<KeyPair, PrivateKeyError> {
    let kind = |kind: &str| PrivateKeyError::Kind(kind.to_owned());
    let other_size = || kind("RSA of another size");
    let fields = key.inside(SEQUENCE).ok_or(PrivateKeyError::Malformed)?;
    let version = fields.first().and_then(|field| field.contents_of(INTEGER));
    if version == Some(&[1]) {
        return Err(kind("RSA with more than two primes"));
    }
    let pair = RsaKeyPair::from_der(key.encoding).map_err(|rejected| {
        // ring's messages for sizes that it does not sign with.
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

/// The contents of a CurvePrivateKey (RFC 8410, section 7).
fn from_seed(seed: &[u8]) -> Result<KeyPair, PrivateKeyError> {
    Ed25519KeyPair::from_seed_unchecked(seed)
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

/// For certificate requests.
impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::{PrivateKey, PrivateKeyError};
    use crate::pki::pem::encode;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// From `certtool --generate-privkey` of GnuTLS 3.7, with scalars of 33 and 49 bytes.
    const GNUTLS_P256: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHgCAQEEIQCNIyjHcQSFav8D4XdnGaWeLmbw0524cyy5a60dxz/21aAKBggqhkjO
PQMBB6FEA0IABGXr2oQyZS3qQf5IPjox/R+Kt9xzUZ7ZtjUEFIjdpSaS52mzMlU9
ZpO0ZIHdHgqHQEUwdfug+CRvcZnWLDn6Kns=
-----END EC PRIVATE KEY-----
";
    const GNUTLS_P384: &str = "\
-----BEGIN EC PRIVATE KEY-----
MIGlAgEBBDEAu3Uy6rb1Da4MZMAC6jqkSbMSpF/GgVvFVFQZu+cSE+LlUzHJZeIv
Y74CxjEv2QMDoAcGBSuBBAAioWQDYgAEj+9gHSxL9Onja5nap8RG4PviWGUZS8M1
RUm6OLQ6mWmhAbav++WkAXe6e1TQP6X7wVii6XbJmkPt90RUZ0HSA8OG2y4uscCh
BWTBmaFSY0kNQwUx6M0H4sYPUQXgwSWF
-----END EC PRIVATE KEY-----
";
    /// The same with `--pkcs8`.
    const GNUTLS_PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGUAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBHoweAIBAQQhAJZDB8Z4BnSjqsDs
Zim3cCDUcUSoLPTc+o3yjpUpIwZYoAoGCCqGSM49AwEHoUQDQgAELrHUv9dl596E
wDDJe2WUnV4sbZIMgX/YZJ35Vd3uiBbB4CqroFMQ7gr7UwuZIhYvNMYF+/ecNt7O
FLmjZsrzvA==
-----END PRIVATE KEY-----
";

    /// What openssl makes of a key.
    fn openssl(arguments: &[&str], pem: &str) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(pem.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {pem}");
        output.stdout
    }

    fn pem_of(arguments: &[&str], pem: &str) -> String {
        String::from_utf8(openssl(arguments, pem)).unwrap()
    }

    #[track_caller]
    fn is_read_as_openssl_reads_it(pem: &str) {
        has_public_key_of(pem, pem);
    }

    #[track_caller]
    fn has_public_key_of(pem: &str, openssls: &str) {
        let key = PrivateKey::from_pem(pem.as_bytes(), None)
            .unwrap_or_else(|error| panic!("{error}: {pem}"));
        let spki = openssl(&["pkey", "-pubout", "-outform", "DER"], openssls);
        assert_eq!(key.public_key().spki(), spki, "{pem}");
        assert!(!key.sign(b"message").unwrap().is_empty());
    }

    fn reason(pem: &str) -> PrivateKeyError {
        PrivateKey::from_pem(pem.as_bytes(), None).err().unwrap()
    }

    #[test]
    fn scalar_with_leading_zero_is_read() {
        for pem in [GNUTLS_P256, GNUTLS_P384, GNUTLS_PKCS8] {
            is_read_as_openssl_reads_it(pem);
        }
    }

    #[test]
    fn scalar_with_leading_nonzero_byte_is_rejected() {
        let mut der = pem::parse(GNUTLS_P256).unwrap().into_contents();
        // SEQUENCE, version, and the OCTET STRING's header come before the scalar.
        assert_eq!(der[5..8], [0x04, 33, 0]);
        der[7] = 1;
        let pem = encode("EC PRIVATE KEY", &der);
        assert!(matches!(reason(&pem), PrivateKeyError::Malformed));
    }

    /// Go's crypto/tls tries each form, whatever the label is; openssl does so for most.
    #[test]
    fn each_form_is_read_under_each_label() {
        let rsa = pem_of(&["genpkey", "-quiet", "-algorithm", "RSA"], "");
        let pkcs1 = pem_of(&["rsa", "-traditional"], &rsa);
        let sec1 = GNUTLS_P256.to_owned();
        for form in [rsa, pkcs1, sec1, GNUTLS_PKCS8.to_owned()] {
            let der = pem::parse(&form).unwrap().into_contents();
            for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
                has_public_key_of(&encode(label, &der), &form);
            }
        }
    }

    #[test]
    fn attributes_and_trailing_bytes_are_ignored() {
        let der = pem::parse(GNUTLS_PKCS8).unwrap().into_contents();
        is_read_as_openssl_reads_it(&encode("PRIVATE KEY", &[&der[..], b"\0\0"].concat()));
        // Key usage, as Microsoft's tools add it.
        let attributes = b"\xa0\x0d\x30\x0b\x06\x03\x55\x1d\x0f\x31\x04\x03\x02\x05\xa0";
        assert_eq!(der[1], 0x81, "the length follows in one byte");
        let mut der = [&der[..], &attributes[..]].concat();
        der[2] += u8::try_from(attributes.len()).unwrap();
        is_read_as_openssl_reads_it(&encode("PRIVATE KEY", &der));
    }

    /// Go reads this form of RFC 5958, which ring writes; openssl does not.
    #[test]
    fn public_key_beside_the_private_key_is_used() {
        let whole = PrivateKey::from_pem(GNUTLS_P256.as_bytes(), None).unwrap();
        let point = whole.public_key().subject_public_key().to_vec();
        let bare = pem_of(&["ec", "-no_public"], GNUTLS_P256);
        let bare = pem_of(&["pkcs8", "-topk8", "-nocrypt"], &bare);
        assert!(matches!(reason(&bare), PrivateKeyError::NoPublicKey));
        let mut der = pem::parse(&bare).unwrap().into_contents();
        assert_eq!(der[..5], [0x30, 65, 0x02, 1, 0]);
        der.extend([0x81, 66, 0]);
        der.extend(&point);
        let len = u8::try_from(der.len() - 2).unwrap();
        der[4] = 1;
        der.splice(1..2, [0x81, len]);
        let key = PrivateKey::from_pem(encode("PRIVATE KEY", &der).as_bytes(), None).unwrap();
        assert_eq!(key.public_key(), whole.public_key());
    }

    #[test]
    fn remedy_for_a_missing_public_key_works() {
        for arguments in [
            &["ec", "-no_public"][..],
            &["ec", "-conv_form", "compressed"],
        ] {
            let pem = pem_of(arguments, GNUTLS_P256);
            let reason = reason(&pem);
            assert!(matches!(reason, PrivateKeyError::NoPublicKey), "{reason}");
            let remedy = ["ec", "-conv_form", "uncompressed"];
            assert!(reason.to_string().contains(&remedy.join(" ")), "{reason}");
            is_read_as_openssl_reads_it(&pem_of(&remedy, &pem));
        }
    }

    #[test]
    fn rsa_key_with_three_primes_is_rejected_by_name() {
        let options = ["-pkeyopt", "rsa_keygen_primes:3"];
        let arguments = [&["genpkey", "-quiet", "-algorithm", "RSA"][..], &options].concat();
        let reason = reason(&pem_of(&arguments, "")).to_string();
        assert!(reason.contains("more than two primes"), "{reason}");
    }
}
