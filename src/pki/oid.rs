//! Object identifiers of algorithms and curves, as their contents octets, and their names.

use crate::system::escape::escape;
use x509_parser::asn1_rs::{Oid, oid};

/// rsaEncryption (RFC 3279, section 2.3.1), as an OBJECT IDENTIFIER's contents octets.
pub(crate) const RSA_ENCRYPTION: &[u8] = &oid!(raw 1.2.840.113549.1.1.1);
pub(crate) const SHA256_WITH_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.11);
pub(crate) const SHA384_WITH_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.12);
pub(crate) const SHA512_WITH_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.13);
/// id-ecPublicKey (RFC 5480, section 2.1.1), likewise.
pub(crate) const EC_PUBLIC_KEY: &[u8] = &oid!(raw 1.2.840.10045.2.1);
pub(crate) const ECDSA_WITH_SHA256: &[u8] = &oid!(raw 1.2.840.10045.4.3.2);
pub(crate) const ECDSA_WITH_SHA384: &[u8] = &oid!(raw 1.2.840.10045.4.3.3);
/// The curve P-256 (RFC 5480, section 2.1.1.1), likewise.
pub(crate) const PRIME256V1: &[u8] = &oid!(raw 1.2.840.10045.3.1.7);
/// The curve P-384 (RFC 5480, section 2.1.1.1), likewise.
pub(crate) const SECP384R1: &[u8] = &oid!(raw 1.3.132.0.34);
/// id-Ed25519, of keys and of signatures (RFC 8410, section 3), likewise.
pub(crate) const ED25519: &[u8] = &oid!(raw 1.3.101.112);

/// The name of a rejected algorithm or curve, for messages.
///
/// `oid` is the contents octets of its OBJECT IDENTIFIER.
#[must_use]
pub(crate) fn describe(oid: &[u8]) -> String {
    let known = [
        (oid!(1.2.840.113549.1.1.1), "RSA"),
        (oid!(1.2.840.113549.1.1.4), "RSA with MD5"),
        (oid!(1.2.840.113549.1.1.5), "RSA with SHA-1"),
        (oid!(1.3.14.3.2.29), "RSA with SHA-1"),
        (oid!(1.2.840.113549.1.1.10), "RSA-PSS"),
        (oid!(1.2.840.113549.1.1.11), "RSA with SHA-256"),
        (oid!(1.2.840.113549.1.1.12), "RSA with SHA-384"),
        (oid!(1.2.840.113549.1.1.13), "RSA with SHA-512"),
        (oid!(1.2.840.113549.1.1.14), "RSA with SHA-224"),
        (oid!(1.2.840.10040.4.1), "DSA"),
        (oid!(1.2.840.10040.4.3), "DSA with SHA-1"),
        (oid!(2.16.840.1.101.3.4.3.2), "DSA with SHA-256"),
        (oid!(1.2.840.10045.4.1), "ECDSA with SHA-1"),
        (oid!(1.2.840.10045.4.3.1), "ECDSA with SHA-224"),
        (oid!(1.2.840.10045.4.3.2), "ECDSA with SHA-256"),
        (oid!(1.2.840.10045.4.3.3), "ECDSA with SHA-384"),
        (oid!(1.2.840.10045.4.3.4), "ECDSA with SHA-512"),
        (oid!(1.2.840.10045.3.1.1), "ECDSA on P-192"),
        (oid!(1.3.132.0.33), "ECDSA on P-224"),
        (oid!(1.3.132.0.35), "ECDSA on P-521"),
        (oid!(1.3.132.0.10), "ECDSA on secp256k1"),
        (oid!(1.3.36.3.3.2.8.1.1.7), "ECDSA on brainpoolP256r1"),
        (oid!(1.3.36.3.3.2.8.1.1.11), "ECDSA on brainpoolP384r1"),
        (oid!(1.3.36.3.3.2.8.1.1.13), "ECDSA on brainpoolP512r1"),
        (oid!(1.3.101.110), "X25519"),
        (oid!(1.3.101.111), "X448"),
        (oid!(1.3.101.112), "Ed25519"),
        (oid!(1.3.101.113), "Ed448"),
    ];
    let oid = Oid::new(oid.into());
    known.iter().find(|(known, _)| *known == oid).map_or_else(
        || {
            format!(
                "unknown algorithm {}",
                escape(oid.to_id_string().as_bytes())
            )
        },
        |(_, name)| (*name).to_owned(),
    )
}
