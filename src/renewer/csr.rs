//! The request that a signer is sent: base64 of a PKCS#10 request, signed with the master's key.

use crate::pki::master_name::MasterName;
use crate::pki::private_key::PrivateKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType};

/// A request for this name, as the signer reads it from standard input.
///
/// # Errors
/// rcgen's, when it cannot be encoded or signed.
pub(crate) fn request(key: &PrivateKey, name: &MasterName) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, name.as_str());
    let request = params.serialize_request(key)?;
    let mut input = STANDARD.encode(request.der());
    input.push('\n');
    Ok(input.into_bytes())
}
