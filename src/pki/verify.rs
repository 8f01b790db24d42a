//! The post-issuance check: an issued certificate is parsed again and compared with the profile.
//!
//! This states the profile a second time on purpose, with another library than the one that wrote
//! the certificate. It must not use `issue`, `profile` or rcgen.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::grant::{Grant, Subject};
use crate::pki::member_host::MemberHost;
use crate::pki::pem::encode_certificate;
use crate::pki::public_key::{KeyType, PublicKey};
use crate::pki::strict_der;
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::asn1_rs::{FromDer as _, Oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
    OID_X509_COMMON_NAME, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
};
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

/// An issued certificate does not match the profile. It is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "internal error: the certificate failed the post-issuance check ({0}): please report this bug"
)]
pub struct PostIssuanceError(&'static str);

impl PostIssuanceError {
    /// What does not match, for a certificate that came from elsewhere.
    #[must_use]
    pub(crate) fn field(&self) -> &'static str {
        self.0
    }
}

/// A certificate that matches the profile and may be sent.
///
/// [`Certificate::check`] is the only constructor.
#[must_use]
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    serial: Vec<u8>,
    not_after: i64,
}

impl Certificate {
    /// Checks every field of a certificate against the profile and the grant, and verifies its
    /// signature with the key in the CA certificate.
    ///
    /// `now` is in seconds since 1970; `longest` is the intended validity.
    ///
    /// # Errors
    /// [`PostIssuanceError`], with the first field that does not match.
    pub fn check(
        der: Vec<u8>,
        grant: &Grant,
        ca: &CaCertificate,
        now: i64,
        longest: Duration,
    ) -> Result<Self, PostIssuanceError> {
        let named = |name: &str| vec![MemberHost::Name(name.to_owned())];
        let (name, limit, server_too, hosts) = match grant.subject() {
            Subject::Master(name) => (name.as_str(), DAY, false, named(name.as_str())),
            Subject::Signer => ("etcd-signer", SIGNERS_LONGEST, false, named("etcd-signer")),
            Subject::PeerProbe(hosts) => ("etcd-signer", SIGNERS_LONGEST, false, hosts.clone()),
            Subject::Member(hosts) => ("etcd-member", MEMBERS_LONGEST, true, hosts.clone()),
        };
        let expected = ExpectedFields {
            name,
            public_key: grant.public_key(),
            longest: i64::try_from(longest.min(limit).as_secs()).unwrap_or(0),
            server_too,
            hosts,
        };
        expected.check(der, ca, now)
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        encode_certificate(&self.der)
    }

    /// The serial number, as the contents octets of its INTEGER.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The end of its validity, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// The fields that differ between certificates.
struct ExpectedFields<'a> {
    name: &'a str,
    public_key: &'a PublicKey,
    /// In seconds.
    longest: i64,
    /// Whether it has serverAuth, too.
    server_too: bool,
    /// The subject alternative names, in this order.
    hosts: Vec<MemberHost>,
}

/// The longest validity of a client certificate.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest validity of the signer's own certificate.
const SIGNERS_LONGEST: Duration = Duration::from_secs(5 * 60);

/// The longest validity of a member's certificate.
const MEMBERS_LONGEST: Duration = Duration::from_secs(825 * 24 * 60 * 60);

impl ExpectedFields<'_> {
    fn check(
        &self,
        der: Vec<u8>,
        ca: &CaCertificate,
        now: i64,
    ) -> Result<Certificate, PostIssuanceError> {
        check_frame(&der)?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|_| PostIssuanceError("it cannot be parsed"))?;
        check_signature(&certificate, ca)?;
        check_fields(&certificate, self, ca)?;
        check_validity(&certificate, ca, now, self.longest)?;
        check_extensions(&certificate, self, ca)?;
        let serial = certificate.raw_serial().to_vec();
        let not_after = certificate.validity().not_after.timestamp();
        Ok(Certificate {
            serial,
            not_after,
            der,
        })
    }
}

fn require(holds: bool, field: &'static str) -> Result<(), PostIssuanceError> {
    if holds {
        Ok(())
    } else {
        Err(PostIssuanceError(field))
    }
}

/// RFC 5280, section 4.1.1.2: the signature algorithm is the same in both places. x509-parser
/// compares the parsed values; this compares the bytes.
fn check_frame(der: &[u8]) -> Result<(), PostIssuanceError> {
    let frame = strict_der::single(der).map_err(|_| PostIssuanceError("it is not strict DER"))?;
    let parts = frame.inside(strict_der::SEQUENCE).unwrap_or_default();
    let [tbs, algorithm, _signature] = parts.as_slice() else {
        return Err(PostIssuanceError("it is not strict DER"));
    };
    let fields = tbs.inside(strict_der::SEQUENCE).unwrap_or_default();
    let inner = fields.get(2).map(|field| field.encoding);
    require(inner == Some(algorithm.encoding), "signatureAlgorithm")
}

fn check_signature(
    certificate: &X509Certificate<'_>,
    ca: &CaCertificate,
) -> Result<(), PostIssuanceError> {
    let (expected, has_null) = match ca.public_key().key_type() {
        KeyType::P256 => (OID_SIG_ECDSA_WITH_SHA256, false),
        KeyType::P384 => (OID_SIG_ECDSA_WITH_SHA384, false),
        KeyType::Rsa => (OID_PKCS1_SHA256WITHRSA, true),
        KeyType::Ed25519 => (OID_SIG_ED25519, false),
    };
    let outer = &certificate.signature_algorithm;
    require(
        outer.algorithm == expected && outer.parameters.is_some() == has_null,
        "signatureAlgorithm",
    )?;
    require(
        certificate.signature_value.unused_bits == 0,
        "signatureValue",
    )?;
    let (_, ca_key) = SubjectPublicKeyInfo::from_der(ca.public_key().spki())
        .map_err(|_| PostIssuanceError("the CA's key"))?;
    certificate
        .verify_signature(Some(&ca_key))
        .map_err(|_| PostIssuanceError("its signature does not verify"))
}

fn check_fields(
    certificate: &X509Certificate<'_>,
    expected: &ExpectedFields<'_>,
    ca: &CaCertificate,
) -> Result<(), PostIssuanceError> {
    require(certificate.version() == X509Version::V3, "version")?;
    let serial = strict_der::positive(certificate.raw_serial());
    require(serial.is_some_and(|s| s.len() <= 20), "serialNumber")?;
    require(certificate.issuer().as_raw() == ca.subject(), "issuer")?;
    let mut parts = certificate.subject().iter_rdn();
    let attributes: Vec<_> = parts
        .next()
        .into_iter()
        .flat_map(|rdn| rdn.iter())
        .collect();
    let [name] = attributes.as_slice() else {
        return Err(PostIssuanceError("subject"));
    };
    require(
        parts.next().is_none()
            && *name.attr_type() == OID_X509_COMMON_NAME
            && name.as_str() == Ok(expected.name),
        "subject",
    )?;
    require(
        certificate.public_key().raw == expected.public_key.spki(),
        "subjectPublicKeyInfo",
    )?;
    require(
        certificate.issuer_uid.is_none() && certificate.subject_uid.is_none(),
        "uniqueIdentifiers",
    )
}

fn check_validity(
    certificate: &X509Certificate<'_>,
    ca: &CaCertificate,
    now: i64,
    longest: i64,
) -> Result<(), PostIssuanceError> {
    let not_before = certificate.validity().not_before.timestamp();
    let not_after = certificate.validity().not_after.timestamp();
    require(
        not_before <= now
            && not_after >= now
            && not_after.saturating_sub(not_before) <= longest
            && not_after <= ca.not_after(),
        "validity",
    )
}

fn check_extensions(
    certificate: &X509Certificate<'_>,
    expected: &ExpectedFields<'_>,
    ca: &CaCertificate,
) -> Result<(), PostIssuanceError> {
    let extensions = certificate.extensions();
    require(extensions.len() == 6, "extensions")?;

    let found = single_extension(extensions, &OID_X509_EXT_BASIC_CONSTRAINTS, true)?;
    require(
        matches!(found, ParsedExtension::BasicConstraints(basic)
            if !basic.ca && basic.path_len_constraint.is_none()),
        "basicConstraints",
    )?;
    let found = single_extension(extensions, &OID_X509_EXT_KEY_USAGE, true)?;
    require(
        matches!(found, ParsedExtension::KeyUsage(usage)
            if usage.digital_signature() && usage.flags.count_ones() == 1),
        "keyUsage",
    )?;
    let found = single_extension(extensions, &OID_X509_EXT_EXTENDED_KEY_USAGE, false)?;
    require(
        matches!(found, ParsedExtension::ExtendedKeyUsage(usage)
            if usage.client_auth && usage.server_auth == expected.server_too
                && !usage.any && !usage.code_signing
                && !usage.email_protection && !usage.time_stamping && !usage.ocsp_signing
                && usage.other.is_empty()),
        "extendedKeyUsage",
    )?;
    let found = single_extension(extensions, &OID_X509_EXT_SUBJECT_ALT_NAME, false)?;
    require(
        matches!(found, ParsedExtension::SubjectAlternativeName(names)
            if names.general_names.len() == expected.hosts.len()
                && names.general_names.iter().zip(&expected.hosts).all(is_host)),
        "subjectAltName",
    )?;
    let found = single_extension(extensions, &OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, false)?;
    require(
        matches!(found, ParsedExtension::SubjectKeyIdentifier(own) if own.0.len() == 20),
        "subjectKeyIdentifier",
    )?;
    let found = single_extension(extensions, &OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, false)?;
    require(
        matches!(found, ParsedExtension::AuthorityKeyIdentifier(authority)
        if authority.authority_cert_issuer.is_none()
            && authority.authority_cert_serial.is_none()
            && authority.key_identifier.as_ref().is_some_and(|own| {
                // A CA certificate may have no identifier to compare with.
                ca.key_identifier().map_or(own.0.len() == 20, |cas| own.0 == cas)
            })),
        "authorityKeyIdentifier",
    )
}

fn is_host((found, expected): (&GeneralName<'_>, &MemberHost)) -> bool {
    match (found, expected) {
        (GeneralName::DNSName(found), MemberHost::Name(name)) => found == name,
        (GeneralName::IPAddress(found), MemberHost::Address(IpAddr::V4(v4))) => {
            *found == v4.octets()
        }
        (GeneralName::IPAddress(found), MemberHost::Address(IpAddr::V6(v6))) => {
            *found == v6.octets()
        }
        _ => false,
    }
}

/// The only extension of this type, if it has this criticality.
fn single_extension<'a>(
    extensions: &'a [X509Extension<'a>],
    oid: &Oid<'_>,
    critical: bool,
) -> Result<&'a ParsedExtension<'a>, PostIssuanceError> {
    let mut of_type = extensions.iter().filter(|extension| extension.oid == *oid);
    match (of_type.next(), of_type.next()) {
        (Some(extension), None) if extension.critical == critical => {
            Ok(extension.parsed_extension())
        }
        _ => Err(PostIssuanceError("extensions")),
    }
}
