//! The certificate that an etcd serves, from a handshake that is completed.

use super::connection;
use super::endpoint::Endpoint;
use super::error::{EndpointCause, MemberListError};
use super::identity::Identity;
use super::{connect, runtime};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A certificate whose key the server has shown that it holds: it has signed this handshake
/// (CertificateVerify in RFC 8446, section 4.4.3; ServerKeyExchange in RFC 5246, section 7.4.3).
///
/// [`served_certificate`] is the only constructor.
#[derive(Clone, Debug)]
pub(crate) struct ServedCertificate(Vec<u8>);

impl ServedCertificate {
    /// The certificate, DER.
    #[must_use]
    pub(crate) fn der(&self) -> &[u8] {
        &self.0
    }
}

/// Completes a handshake, sends nothing over it, and closes the connection. The server's
/// certificate must be in force, of this CA, for a server, and for the host in the URL.
///
/// # Errors
/// [`EndpointCause`].
pub(crate) fn served_certificate(
    endpoint: &Endpoint,
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
) -> Result<ServedCertificate, EndpointCause> {
    let now = Instant::now();
    let deadline = now.checked_add(timeout).unwrap_or(now);
    // A configuration for this connection alone: in a session that is resumed, the server would
    // show that it knows an earlier session's secret, and not that it holds the key.
    let config = connection::config(ca_certificate, identity).map_err(setup)?;
    runtime()
        .map_err(|error| EndpointCause::of_io(&error))?
        .block_on(async {
            let tls = connect(endpoint, &Arc::new(config), deadline).await?;
            tls.server_certificate()
                .map(ServedCertificate)
                .ok_or(EndpointCause::NotHttp2)
        })
}

fn setup(error: MemberListError) -> EndpointCause {
    match error {
        MemberListError::Setup(error) => EndpointCause::of_tls(&error),
        other => EndpointCause::Incompatible(other.to_string()),
    }
}
