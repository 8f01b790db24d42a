//! Querying the member list of etcd for the client URLs of its members.
//!
//! The query uses gRPC with mutual TLS, on one thread, with one deadline. It opens no file and
//! resolves no name. Text from a server is escaped before it is shown.

mod client_url;
mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod identity;
mod member_list;
pub(crate) mod probe;
pub(crate) mod process;

use endpoint::Endpoint;
use error::{EndpointCause, EndpointFailure, MemberListError, Stage};
use identity::Identity;
use member_list::Member;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::ClientConfig;

/// Queries the endpoints one after another until one answers. Returns the client URLs of started,
/// voting members, sorted and without duplicates.
///
/// `ca_certificate` is DER, and must have issued the server's certificate. `timeout` is for all
/// endpoints together; each gets an equal share of the remaining time.
///
/// # Errors
/// [`MemberListError`], if no endpoint answers with at least one URL.
pub(crate) fn client_urls(
    endpoints: &[Endpoint],
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
) -> Result<Vec<String>, MemberListError> {
    let now = Instant::now();
    let deadline = now.checked_add(timeout).unwrap_or(now);
    let config = Arc::new(connection::config(ca_certificate, identity)?);
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(MemberListError::Runtime)?
        .block_on(query_endpoints(endpoints, &config, deadline))
}

async fn query_endpoints(
    endpoints: &[Endpoint],
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<Vec<String>, MemberListError> {
    let mut failures = Vec::new();
    for (endpoint, left) in endpoints.iter().zip((1..=endpoints.len()).rev()) {
        match query(endpoint, config, endpoint_deadline(deadline, left)).await {
            Ok(urls) => return Ok(urls),
            Err(cause) => failures.push(EndpointFailure {
                endpoint: endpoint.to_string(),
                cause,
            }),
        }
    }
    Err(MemberListError::NoAnswer(failures))
}

/// The deadline of the next endpoint, if `left` endpoints have not been queried.
fn endpoint_deadline(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    deadline
        .saturating_duration_since(now)
        .checked_div(left)
        .and_then(|share| now.checked_add(share))
        .unwrap_or(deadline)
}

async fn query(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<Vec<String>, EndpointCause> {
    let tcp = within(deadline, Stage::Connect, connection::tcp(endpoint)).await?;
    let tls = connection::tls(tcp, endpoint, Arc::clone(config));
    let tls = within(deadline, Stage::Handshake, tls).await?;
    let members = within(deadline, Stage::Answer, member_list::request(tls)).await?;
    let urls = voting_client_urls(&members);
    if urls.is_empty() {
        return Err(EndpointCause::NoMember(members.len()));
    }
    Ok(urls)
}

async fn within<T>(
    deadline: Instant,
    stage: Stage,
    work: impl Future<Output = Result<T, EndpointCause>>,
) -> Result<T, EndpointCause> {
    tokio::time::timeout_at(deadline.into(), work)
        .await
        .unwrap_or(Err(EndpointCause::TimedOut(stage)))
}

/// A member without a name has been added but has not started yet.
fn voting_client_urls(members: &[Member]) -> Vec<String> {
    let urls: BTreeSet<&str> = members
        .iter()
        .filter(|member| !member.name.is_empty() && !member.is_learner)
        .flat_map(|member| &member.client_urls)
        .map(String::as_str)
        .filter(|url| client_url::is_client_url(url))
        .collect();
    urls.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Member, endpoint_deadline, voting_client_urls};
    use std::time::{Duration, Instant};

    fn member(name: &str, is_learner: bool, urls: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            is_learner,
            client_urls: urls.iter().map(|&url| url.to_owned()).collect(),
        }
    }

    #[test]
    fn client_urls_of_started_voters_are_sorted_and_unique() {
        let members = [
            member("b", false, &["https://10.0.0.2:2379", "https://a:1"]),
            member("", false, &["https://10.0.0.3:2379"]),
            member("c", true, &["https://10.0.0.4:2379"]),
            member("a", false, &["https://10.0.0.1:2379", "https://a:1"]),
            member("d", false, &["https://10.0.0.5:2379\n", "unix://x"]),
        ];
        assert_eq!(
            voting_client_urls(&members),
            [
                "https://10.0.0.1:2379",
                "https://10.0.0.2:2379",
                "https://a:1"
            ]
        );
    }

    #[test]
    fn remaining_time_is_shared_equally() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(60);
        assert!(endpoint_deadline(deadline, 3) < start + Duration::from_secs(21));
        assert!(endpoint_deadline(deadline, 1) <= deadline);
        assert!(endpoint_deadline(deadline, 1) > start + Duration::from_secs(59));
        assert!(
            endpoint_deadline(start, 2) >= start,
            "the deadline has passed"
        );
    }
}
