//! The certificate profile. Only the name and the public key differ between certificates.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::grant::{Grant, Subject};
use crate::pki::member_host::MemberHost;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;
use time::OffsetDateTime;

/// How far in the past validity begins at most, for hosts whose clock is behind.
const MAX_BACKDATE: i64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("internal error: the system's random number generator failed: please report this bug")]
    Random,
    #[error("internal error: {0} cannot be encoded: please report this bug")]
    Encoding(&'static str),
}

/// The validity of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
    /// Whether it was shortened to the end of the CA certificate.
    pub ends_with_ca: bool,
}

impl Validity {
    /// A validity of `total`, but never beyond the end of the CA certificate.
    ///
    /// It begins a minute before `now`, or a quarter of `total` if that is less.
    #[must_use]
    pub fn starting(now: i64, total: Duration, ca: &CaCertificate) -> Self {
        let total = i64::try_from(total.as_secs()).unwrap_or(0);
        let backdate = MAX_BACKDATE.min(total.wrapping_div(4));
        let not_before = now.saturating_sub(backdate);
        let wanted = not_before.saturating_add(total);
        Self {
            not_before,
            not_after: wanted.min(ca.not_after()),
            ends_with_ca: wanted > ca.not_after(),
        }
    }
}

/// A serial number: 159 random bits, the most that RFC 5280, section 4.1.2.2 allows.
///
/// # Errors
/// [`ProfileError::Random`].
pub fn serial() -> Result<[u8; 20], ProfileError> {
    let mut serial = [0; 20];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| ProfileError::Random)?;
    let [first, ..] = &mut serial;
    *first &= 0x7f;
    Ok(serial)
}

/// The validity of the signer's own certificate, which is used for one call.
pub(crate) const SIGNER_VALIDITY: Duration = Duration::from_secs(5 * 60);

/// The parameters of an authorized certificate.
///
/// # Errors
/// [`ProfileError::Encoding`], if a time is after the year 9999.
pub fn parameters(
    grant: &Grant,
    validity: Validity,
    serial: [u8; 20],
) -> Result<CertificateParams, ProfileError> {
    let mut params = leaf(grant.subject().common_name(), validity, serial)?;
    (params.extended_key_usages, params.subject_alt_names) = match grant.subject() {
        // etcd accepts a client certificate without alternative names on its peer port, if clients
        // and peers have the same CA.
        subject @ (Subject::Master(_) | Subject::Signer) => (
            vec![ExtendedKeyUsagePurpose::ClientAuth],
            vec![dns_name(subject.common_name())?],
        ),
        Subject::PeerProbe(hosts) => (vec![ExtendedKeyUsagePurpose::ClientAuth], names(hosts)?),
        // Peers are clients of each other, and etcd's JSON gateway is a client of its own server.
        Subject::Member(hosts) => (
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            names(hosts)?,
        ),
    };
    Ok(params)
}

fn names(hosts: &[MemberHost]) -> Result<Vec<SanType>, ProfileError> {
    hosts
        .iter()
        .map(|host| match host {
            MemberHost::Address(address) => Ok(SanType::IpAddress(*address)),
            MemberHost::Name(name) => dns_name(name),
        })
        .collect()
}

/// The fields that all certificates have in common.
fn leaf(
    name: &str,
    validity: Validity,
    serial: [u8; 20],
) -> Result<CertificateParams, ProfileError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn dns_name(name: &str) -> Result<SanType, ProfileError> {
    let name = name
        .try_into()
        .map_err(|_| ProfileError::Encoding("the name"))?;
    Ok(SanType::DnsName(name))
}

fn date(seconds: i64) -> Result<OffsetDateTime, ProfileError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| ProfileError::Encoding("a time"))
}
