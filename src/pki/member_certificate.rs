//! A member's certificate: when it ends, whose it is, and what it is for.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::member_host::MemberHost;
use crate::pki::public_key::PublicKey;
use crate::pki::strict_der;
use std::net::IpAddr;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What is looked at of it.
#[derive(Clone, Debug)]
pub(crate) struct MemberCertificate {
    /// The first second of its validity, since 1970.
    pub(crate) not_before: i64,
    /// The last.
    pub(crate) not_after: i64,
    /// Its key, if it is of a kind that is known here.
    pub(crate) public_key: Option<PublicKey>,
    /// Its one common name, if it has one.
    pub(crate) common_name: String,
    /// The subject alternative names that are addresses or DNS names, in their order.
    pub(crate) hosts: Vec<MemberHost>,
    /// Whether it has alternative names that are none of these.
    pub(crate) has_other_names: bool,
    /// Whether it is for a TLS server and for a TLS client (RFC 5280, section 4.2.1.12), as etcd
    /// needs it.
    pub(crate) is_for_server_and_client: bool,
    /// Whether it is a CA's.
    pub(crate) is_ca: bool,
    /// Whether the CA has signed it.
    pub(crate) is_the_cas: bool,
}

impl MemberCertificate {
    /// Takes the first PEM block of a file.
    pub(crate) fn parse(pem: &[u8], ca: Option<&CaCertificate>) -> Option<Self> {
        Self::from_der(pem::parse(pem).ok()?.contents(), ca)
    }

    /// Takes DER.
    pub(crate) fn from_der(der: &[u8], ca: Option<&CaCertificate>) -> Option<Self> {
        strict_der::single(der).ok()?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let spki = strict_der::single(certificate.public_key().raw).ok()?;
        let ca_key = ca.and_then(|ca| {
            let (_, key) = SubjectPublicKeyInfo::from_der(ca.public_key().spki()).ok()?;
            Some(key)
        });
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |extension| &extension.value.general_names);
        let hosts: Vec<MemberHost> = names.iter().filter_map(host).collect();
        let usage = certificate.extended_key_usage().ok().flatten();
        let mut common_names = certificate.subject().iter_common_name();
        let common_name = match (common_names.next(), common_names.next()) {
            (Some(name), None) => name.as_str().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        Some(Self {
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            public_key: PublicKey::from_spki(&spki).ok(),
            common_name,
            has_other_names: hosts.len() != names.len(),
            hosts,
            is_for_server_and_client: usage
                .is_some_and(|usage| usage.value.server_auth && usage.value.client_auth),
            is_ca: certificate.is_ca(),
            is_the_cas: ca_key.is_some_and(|key| certificate.verify_signature(Some(&key)).is_ok()),
        })
    }
}

fn host(name: &GeneralName<'_>) -> Option<MemberHost> {
    match name {
        GeneralName::DNSName(name) => MemberHost::parse(name).ok(),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .map(MemberHost::Address)
            .ok(),
        _ => None,
    }
}
