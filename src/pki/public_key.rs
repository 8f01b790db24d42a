//! Public keys that are accepted: those that etcd and kube-apiserver accept and ring can verify.

use crate::pki::oid::{
    EC_PUBLIC_KEY, ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ED25519, PRIME256V1, RSA_ENCRYPTION,
    SECP384R1, SHA256_WITH_RSA, SHA384_WITH_RSA, SHA512_WITH_RSA, describe,
};
use crate::pki::strict_der::{
    self, Algorithm, BIT_STRING, Element, INTEGER, NULL, OBJECT_IDENTIFIER, SEQUENCE,
};
use ring::agreement::{self, ECDH_P256, ECDH_P384};
use ring::rand::SystemRandom;
use ring::signature::{self, VerificationAlgorithm};

/// The accepted types of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA with a modulus of 2048 to 4096 bits and the exponent 65537.
    Rsa,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

/// A public key that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key_type: KeyType,
    subject_public_key: Vec<u8>,
    spki: Vec<u8>,
}

/// Why a public key is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("its public key cannot be parsed: {0}: make a new key")]
    Malformed(&'static str),
    #[error("its key type is not accepted ({0}): {ACCEPTED_KEYS}")]
    Kind(String),
    #[error("its RSA key has {0} bits: {ACCEPTED_KEYS}")]
    RsaBits(usize),
    #[error("its RSA exponent is not 65537: {ACCEPTED_KEYS}")]
    RsaExponent,
    /// Compressed or hybrid, or of the wrong length.
    #[error(
        "its elliptic-curve point is not uncompressed: write the key with an uncompressed point"
    )]
    PointForm,
    /// Anyone can sign for such a key.
    #[error("its Ed25519 key is a point of small order, which is insecure: make a new key")]
    SmallOrder,
}

const ACCEPTED_KEYS: &str = "use RSA of 2048 to 4096 bits with exponent 65537, ECDSA on P-256 or \
                        P-384, or Ed25519";

/// The y-coordinates, little-endian and without the sign bit, of every encoding of a point whose
/// order divides 8: 0, 1, -1, the two of order 8, and 0 and 1 written as p and p + 1
/// (RFC 8032, section 5.1). The tests compare them with another library.
const ED25519_SMALL_ORDER_Y: [[u8; 32]; 7] = [
    y_of(0, 0, 0),
    y_of(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    y_of(0xec, 0xff, 0x7f),
    y_of(0xed, 0xff, 0x7f),
    y_of(0xee, 0xff, 0x7f),
];

/// A little-endian number whose bytes between the first and the last are all the same.
const fn y_of(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut y = [middle; 32];
    y[0] = first;
    y[31] = last;
    y
}

impl PublicKey {
    /// Parses a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// [`PublicKeyError`], with the first check that fails.
    pub fn from_spki(spki: &Element<'_>) -> Result<Self, PublicKeyError> {
        const MALFORMED: PublicKeyError = PublicKeyError::Malformed("not a SubjectPublicKeyInfo");
        let parts = spki.inside(SEQUENCE).ok_or(MALFORMED)?;
        let [algorithm, key] = parts.as_slice() else {
            return Err(MALFORMED);
        };
        let Some([0, key @ ..]) = key.contents_of(BIT_STRING) else {
            return Err(MALFORMED);
        };
        let key_type = key_type(&strict_der::algorithm(algorithm).ok_or(MALFORMED)?)?;
        match key_type {
            KeyType::Rsa => check_rsa(key)?,
            KeyType::P256 => check_point(key, 65)?,
            KeyType::P384 => check_point(key, 97)?,
            KeyType::Ed25519 => check_ed25519(key)?,
        }
        Ok(Self {
            key_type,
            subject_public_key: key.to_vec(),
            spki: spki.encoding.to_vec(),
        })
    }

    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The contents of the subjectPublicKey BIT STRING.
    #[must_use]
    pub fn subject_public_key(&self) -> &[u8] {
        &self.subject_public_key
    }

    /// The DER of the SubjectPublicKeyInfo, unchanged.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether the point is on its curve. Slow: only for the message after a failure.
    #[must_use]
    pub fn is_on_curve(&self) -> bool {
        let curve = match self.key_type {
            KeyType::P256 => &ECDH_P256,
            KeyType::P384 => &ECDH_P384,
            KeyType::Rsa | KeyType::Ed25519 => return true,
        };
        // ring does not export its check of a point, but a key agreement with a bad one fails.
        agreement::EphemeralPrivateKey::generate(curve, &SystemRandom::new())
            .and_then(|own| {
                let peer = agreement::UnparsedPublicKey::new(curve, &self.subject_public_key);
                agreement::agree_ephemeral(own, &peer, |_| ())
            })
            .is_ok()
    }
}

impl KeyType {
    /// How to verify a signature of this algorithm by this type of key.
    ///
    /// # Errors
    /// [`SignatureAlgorithmError`], if the algorithm is not accepted or does not match the key.
    pub fn verification(
        self,
        algorithm: &Algorithm<'_>,
    ) -> Result<&'static dyn VerificationAlgorithm, SignatureAlgorithmError> {
        use Family::{Ecdsa, Ed25519, Rsa};
        type Found = (Family, &'static dyn VerificationAlgorithm);
        let (family, found): Found = match (algorithm.oid, self) {
            (SHA256_WITH_RSA, _) => (Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
            (SHA384_WITH_RSA, _) => (Rsa, &signature::RSA_PKCS1_2048_8192_SHA384),
            (SHA512_WITH_RSA, _) => (Rsa, &signature::RSA_PKCS1_2048_8192_SHA512),
            (ECDSA_WITH_SHA256, Self::P384) => (Ecdsa, &signature::ECDSA_P384_SHA256_ASN1),
            (ECDSA_WITH_SHA256, _) => (Ecdsa, &signature::ECDSA_P256_SHA256_ASN1),
            (ECDSA_WITH_SHA384, Self::P384) => (Ecdsa, &signature::ECDSA_P384_SHA384_ASN1),
            (ECDSA_WITH_SHA384, _) => (Ecdsa, &signature::ECDSA_P256_SHA384_ASN1),
            (ED25519, _) => (Ed25519, &signature::ED25519),
            (other, _) => return Err(SignatureAlgorithmError::Algorithm(describe(other))),
        };
        // RFC 4055, section 5: NULL or absent with RSA. RFC 5758, section 3.2 and RFC 8410,
        // section 3: absent with the others.
        let parameters_fit = match (&algorithm.parameters, family) {
            (None, _) => true,
            (Some(parameters), Rsa) => parameters.contents_of(NULL) == Some(&[]),
            (Some(_), Ecdsa | Ed25519) => false,
        };
        if !parameters_fit {
            return Err(SignatureAlgorithmError::Parameters);
        }
        let own = match self {
            Self::Rsa => Rsa,
            Self::P256 | Self::P384 => Ecdsa,
            Self::Ed25519 => Ed25519,
        };
        if family != own {
            return Err(SignatureAlgorithmError::Family {
                signature: describe(algorithm.oid),
                key: self.as_str(),
            });
        }
        Ok(found)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::P256 => "ECDSA on P-256",
            Self::P384 => "ECDSA on P-384",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// Why a signature algorithm is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureAlgorithmError {
    #[error(
        "its signature algorithm is not accepted ({0}): sign with RSA and SHA-256, SHA-384 or SHA-512, with ECDSA and \
         SHA-256 or SHA-384, or with Ed25519"
    )]
    Algorithm(String),
    #[error("its signature algorithm has parameters that are not allowed: make a new request")]
    Parameters,
    #[error(
        "its signature algorithm ({signature}) does not match its key ({key}): sign with the key in it"
    )]
    Family {
        signature: String,
        key: &'static str,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    Ecdsa,
    Ed25519,
}

fn key_type(algorithm: &Algorithm<'_>) -> Result<KeyType, PublicKeyError> {
    let parameters = algorithm.parameters.as_ref();
    match algorithm.oid {
        // RFC 3279, section 2.3.1. Go rejects a certificate without the NULL.
        RSA_ENCRYPTION => match parameters.and_then(|any| any.contents_of(NULL)) {
            Some([]) => Ok(KeyType::Rsa),
            _ => Err(PublicKeyError::Malformed(
                "RSA parameters that are not NULL",
            )),
        },
        ED25519 => match parameters {
            None => Ok(KeyType::Ed25519),
            Some(_) => Err(PublicKeyError::Malformed("Ed25519 with parameters")),
        },
        EC_PUBLIC_KEY => match parameters.and_then(|any| any.contents_of(OBJECT_IDENTIFIER)) {
            Some(PRIME256V1) => Ok(KeyType::P256),
            Some(SECP384R1) => Ok(KeyType::P384),
            Some(curve) => Err(PublicKeyError::Kind(describe(curve))),
            None => Err(PublicKeyError::Kind(
                "ECDSA on a curve without a name".to_owned(),
            )),
        },
        other => Err(PublicKeyError::Kind(describe(other))),
    }
}

fn check_rsa(key: &[u8]) -> Result<(), PublicKeyError> {
    const MALFORMED: PublicKeyError = PublicKeyError::Malformed("not an RSAPublicKey");
    let parts = strict_der::single(key)
        .ok()
        .and_then(|key| key.inside(SEQUENCE))
        .ok_or(MALFORMED)?;
    let [modulus, exponent] = parts.as_slice() else {
        return Err(MALFORMED);
    };
    let modulus = modulus.contents_of(INTEGER).and_then(strict_der::positive);
    let exponent = exponent.contents_of(INTEGER).and_then(strict_der::positive);
    let (Some(modulus), Some(exponent)) = (modulus, exponent) else {
        return Err(MALFORMED);
    };
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus
        .len()
        .saturating_mul(8)
        .saturating_sub(usize::try_from(unused).unwrap_or(0));
    if !(2048..=4096).contains(&bits) {
        return Err(PublicKeyError::RsaBits(bits));
    }
    if exponent != [1, 0, 1] {
        return Err(PublicKeyError::RsaExponent);
    }
    Ok(())
}

fn check_point(key: &[u8], len: usize) -> Result<(), PublicKeyError> {
    // SEC 1, section 2.3.3: 04 marks the uncompressed form.
    if key.first() == Some(&0x04) && key.len() == len {
        Ok(())
    } else {
        Err(PublicKeyError::PointForm)
    }
}

fn check_ed25519(key: &[u8]) -> Result<(), PublicKeyError> {
    let mut y: [u8; 32] = key
        .try_into()
        .map_err(|_| PublicKeyError::Malformed("an Ed25519 key has 32 bytes"))?;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    if ED25519_SMALL_ORDER_Y.contains(&y) {
        return Err(PublicKeyError::SmallOrder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ED25519_SMALL_ORDER_Y;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::edwards::CompressedEdwardsY;

    /// Against curve25519-dalek.
    #[test]
    fn small_order_table_is_correct_and_complete() {
        for y in ED25519_SMALL_ORDER_Y {
            let point = CompressedEdwardsY(y).decompress().unwrap();
            assert!(point.is_small_order(), "{y:02x?}");
        }
        for point in EIGHT_TORSION {
            let mut y = point.compress().0;
            y[31] &= 0x7f;
            assert!(ED25519_SMALL_ORDER_Y.contains(&y), "{y:02x?}");
        }
        // The encodings of y that are not canonical: p to 2^255 - 1.
        for low in 0xed..=0xff_u8 {
            let mut y = [0xff; 32];
            y[0] = low;
            y[31] = 0x7f;
            let small = CompressedEdwardsY(y)
                .decompress()
                .is_some_and(|point| point.is_small_order());
            assert_eq!(small, ED25519_SMALL_ORDER_Y.contains(&y), "{low:02x}");
        }
    }
}
