//! Asking etcd: for its members and their client URLs, for the certificates that they serve, and
//! for what signers publish for members.
//!
//! A query uses gRPC with mutual TLS, on one thread, with one deadline. It opens no file and
//! resolves no name. Text from a server is escaped before it is shown.

mod client_url;
pub(crate) mod clock;
mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;
mod grpc;
pub(crate) mod health;
pub(crate) mod identity;
mod member_list;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod published;
pub(crate) mod roster;
pub(crate) mod served;

use crate::system::escape::escape;
use crate::system::reach::Reach;
use connection::MonitoredStream;
use endpoint::Endpoint;
use error::{EndpointCause, EndpointFailure, MemberListError, Stage};
use identity::Identity;
use member_list::Member;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_rustls::rustls::ClientConfig;

/// A client URL that other hosts than its own cannot connect to.
pub(crate) struct ConfinedUrl {
    /// The member that advertises it, escaped.
    pub(crate) member: String,
    /// Escaped.
    pub(crate) url: String,
    pub(crate) reach: Reach,
}

/// Queries the endpoints one after another until one answers. Returns the client URLs of started,
/// voting members, sorted and without duplicates.
///
/// Addresses that nobody can connect to are left out, since masters remember what they are given.
/// Loopback addresses are not: a whole cluster may be on the host that asks, and from elsewhere,
/// connecting to one fails at once.
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
    ask_for_members(endpoints, ca_certificate, identity, timeout, |members| {
        usable_client_urls(members)
    })
}

/// The client URLs, of any member, that are of no use to other hosts. The rest is as in
/// [`client_urls`].
pub(crate) fn confined_client_urls(
    endpoints: &[Endpoint],
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
) -> Result<Vec<ConfinedUrl>, MemberListError> {
    ask_for_members(endpoints, ca_certificate, identity, timeout, |members| {
        Ok(members.iter().flat_map(confined).collect())
    })
}

/// Whether a URL that a member advertises is http or https, a host and a port, and nothing else.
pub(crate) fn is_member_url(url: &str) -> bool {
    client_url::is_client_url(url)
}

/// Asks the endpoints in turn, until one gives a list that is accepted.
fn ask_for_members<T>(
    endpoints: &[Endpoint],
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
    accept: impl Fn(&[Member]) -> Result<T, EndpointCause>,
) -> Result<T, MemberListError> {
    let now = Instant::now();
    let deadline = now.checked_add(timeout).unwrap_or(now);
    let config = Arc::new(connection::config(ca_certificate, identity)?);
    runtime()
        .map_err(MemberListError::Runtime)?
        .block_on(query_endpoints(endpoints, &config, deadline, accept))
}

async fn query_endpoints<T>(
    endpoints: &[Endpoint],
    config: &Arc<ClientConfig>,
    deadline: Instant,
    accept: impl Fn(&[Member]) -> Result<T, EndpointCause>,
) -> Result<T, MemberListError> {
    let mut failures = Vec::new();
    for (endpoint, left) in endpoints.iter().zip((1..=endpoints.len()).rev()) {
        let members = query(endpoint, config, endpoint_deadline(deadline, left)).await;
        match members.and_then(|members| accept(&members)) {
            Ok(accepted) => return Ok(accepted),
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
) -> Result<Vec<Member>, EndpointCause> {
    let tls = connect(endpoint, config, deadline).await?;
    within(deadline, Stage::Answer, member_list::request(tls)).await
}

/// What runs a query: one thread, which ends with it.
fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}

/// A connection whose handshake is complete.
async fn connect(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<MonitoredStream, EndpointCause> {
    let tcp = within(deadline, Stage::Connect, connection::tcp(endpoint)).await?;
    let tls = connection::tls(tcp, endpoint, Arc::clone(config));
    within(deadline, Stage::Handshake, tls).await
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

fn usable_client_urls(members: &[Member]) -> Result<Vec<String>, EndpointCause> {
    let (usable, unusable): (Vec<String>, _) = voting_client_urls(members)
        .into_iter()
        .partition(|url| client_url::reach(url) != Reach::Nowhere);
    match (usable.is_empty(), unusable.is_empty()) {
        (false, _) => Ok(usable),
        (true, true) => Err(EndpointCause::NoMember(members.len())),
        (true, false) => Err(EndpointCause::Unconnectable(unusable.join(", "))),
    }
}

fn confined(member: &Member) -> Vec<ConfinedUrl> {
    let urls = member.client_urls.iter();
    let confined = urls.filter(|url| client_url::is_client_url(url));
    confined
        .map(|url| ConfinedUrl {
            member: escape(member.name.as_bytes()),
            url: escape(url.as_bytes()),
            reach: client_url::reach(url),
        })
        .filter(|url| url.reach != Reach::Anywhere)
        .collect()
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
            id: 0,
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
