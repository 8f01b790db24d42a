//! Certificates and keys, as values: nothing here reads the environment or uses the network.

pub(crate) mod ca;
pub(crate) mod csr;
pub(crate) mod fingerprint;
pub(crate) mod grant;
pub(crate) mod issue;
pub(crate) mod master_name;
pub(crate) mod member_certificate;
pub(crate) mod member_host;
pub(crate) mod member_renewal;
pub(crate) mod oid;
pub(crate) mod pem;
pub(crate) mod private_key;
pub(crate) mod profile;
pub(crate) mod public_key;
pub(crate) mod request;
pub(crate) mod strict_der;
pub(crate) mod verify;
