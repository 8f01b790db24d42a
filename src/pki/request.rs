//! Certificate requests of our own: PKCS#10 (RFC 2986), signed with the requester's key.

use crate::pki::private_key::PrivateKey;
use rcgen::{CertificateParams, DistinguishedName, DnType};

/// A request, DER, for this key and a subject of this common name alone.
///
/// # Errors
/// rcgen's, when it cannot be encoded or signed.
pub(crate) fn der(key: &PrivateKey, common_name: &str) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let request = params.serialize_request(key)?;
    Ok(request.der().to_vec())
}
