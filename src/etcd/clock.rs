//! The clock of the host that an etcd runs on, as its HTTP answers tell it.

use super::connection;
use super::endpoint::Endpoint;
use super::error::{EndpointCause, Stage};
use super::identity::Identity;
use super::{connect, runtime, within};
use http::header::DATE;
use http::{Request, Uri};
use hyper::client::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::body::Body;

/// What every etcd answers to who has a certificate of its CA.
const PATH: &str = "https://etcd/version";

/// The Date of an answer (RFC 9110, section 6.6.1), as the server has written it.
///
/// # Errors
/// Why there is none. One line.
pub(crate) fn date(
    endpoint: &Endpoint,
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
) -> Result<String, String> {
    let now = Instant::now();
    let deadline = now.checked_add(timeout).unwrap_or(now);
    let config = connection::config(ca_certificate, identity).map_err(|e| e.to_string())?;
    runtime()
        .map_err(|error| error.to_string())?
        .block_on(async {
            let tls = connect(endpoint, &Arc::new(config), deadline).await?;
            let close_reason = tls.close_reason();
            let asked = async {
                ask(tls).await.map_err(|error| {
                    close_reason
                        .cause()
                        .unwrap_or(EndpointCause::of_http2(&error))
                })
            };
            within(deadline, Stage::Answer, asked).await
        })
        .map_err(|cause| cause.to_string())
}

async fn ask(connection: connection::MonitoredStream) -> Result<String, hyper::Error> {
    let (mut sender, driver) = Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(connection))
        .await?;
    // It ends with the runtime. The request gets its error, too.
    tokio::spawn(driver);
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static(PATH);
    let response = sender.send_request(request).await?;
    let date = response.headers().get(DATE);
    Ok(date
        .and_then(|date| date.to_str().ok())
        .unwrap_or_default()
        .to_owned())
}
