//! How each member of a cluster is, asked of all of them at once: one that does not answer costs the
//! time of one.

use super::connection;
use super::endpoint::Endpoint;
use super::error::{EndpointCause, MemberListError, Stage};
use super::grpc::{CallError, Calls};
use super::identity::Identity;
use super::{connect, endpoint_deadline, runtime, within};
use crate::system::escape::escape;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;

const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// How many members are asked. A cluster has three to seven.
const MEMBERS: usize = 32;

/// How many client URLs of a member are tried.
const URLS: usize = 4;

/// etcdserverpb.StatusRequest.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

/// etcdserverpb.StatusResponse, with the fields that are needed. A version before 3.4 leaves out
/// `raft_applied_index` and what follows, one before 3.6 `db_size_quota`.
#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(string, tag = "2")]
    version: String,
    #[prost(int64, tag = "3")]
    db_size: i64,
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "5")]
    raft_index: u64,
    #[prost(string, repeated, tag = "8")]
    errors: Vec<String>,
    #[prost(int64, tag = "12")]
    db_size_quota: i64,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberStatus {
    /// Escaped.
    pub(crate) version: String,
    /// The size of its database, in bytes.
    pub(crate) db_size: u64,
    /// The size at which etcd takes no more writes, in bytes. `None` where it does not say.
    pub(crate) db_size_quota: Option<u64>,
    /// The ID of the member that leads, as this one knows it; 0 if there is none.
    pub(crate) leader: u64,
    /// The last entry of its log.
    pub(crate) raft_index: u64,
    /// Alarms, and what else it complains of. Escaped.
    pub(crate) errors: Vec<String>,
}

/// A member, and how it is.
#[derive(Clone, Debug)]
pub(crate) struct MemberHealth {
    pub(crate) id: u64,
    /// Escaped. Empty if it has never started.
    pub(crate) name: String,
    /// As it advertises them.
    pub(crate) client_urls: Vec<String>,
    pub(crate) is_learner: bool,
    pub(crate) status: Result<MemberStatus, EndpointCause>,
}

/// Asks the endpoints in turn for the members, and then every member for its status.
///
/// `timeout` is for each of the two.
///
/// # Errors
/// [`MemberListError`], if no endpoint gives a list.
pub(crate) fn members(
    endpoints: &[Endpoint],
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
) -> Result<Vec<MemberHealth>, MemberListError> {
    let listed = super::ask_for_members(endpoints, ca_certificate, identity, timeout, |members| {
        Ok(members.to_vec())
    })?;
    let config = Arc::new(connection::config(ca_certificate, identity)?);
    let now = Instant::now();
    let deadline = now.checked_add(timeout).unwrap_or(now);
    let asked = async {
        let mut asked = JoinSet::new();
        for (index, member) in listed.into_iter().take(MEMBERS).enumerate() {
            let config = Arc::clone(&config);
            asked.spawn(async move {
                let status = first_status(&member.client_urls, &config, deadline).await;
                let health = MemberHealth {
                    id: member.id,
                    name: escape(member.name.as_bytes()),
                    client_urls: member.client_urls,
                    is_learner: member.is_learner,
                    status,
                };
                (index, health)
            });
        }
        let mut found = Vec::new();
        while let Some(answer) = asked.join_next().await {
            found.extend(answer);
        }
        found
    };
    let mut found = runtime().map_err(MemberListError::Runtime)?.block_on(asked);
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, health)| health).collect())
}

/// The answer over the first client URL that gives one.
async fn first_status(
    urls: &[String],
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<MemberStatus, EndpointCause> {
    let endpoints = urls.iter().filter_map(|url| Endpoint::parse(url));
    let endpoints: Vec<Endpoint> = endpoints.take(URLS).collect();
    let mut first = None;
    for (endpoint, left) in endpoints.iter().zip((1..=endpoints.len()).rev()) {
        let deadline = endpoint_deadline(deadline, left);
        match status(endpoint, config, deadline).await {
            Ok(status) => return Ok(status),
            Err(cause) => first = first.or(Some(cause)),
        }
    }
    Err(first.unwrap_or_else(|| EndpointCause::Unconnectable(urls.join(", "))))
}

async fn status(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    deadline: Instant,
) -> Result<MemberStatus, EndpointCause> {
    let tls = connect(endpoint, config, deadline).await?;
    let call = async {
        let mut calls = Calls::over(tls).await.map_err(CallError::cause)?;
        calls
            .call::<_, StatusResponse>(STATUS, StatusRequest {})
            .await
            .map_err(CallError::cause)
    };
    let answer = within(deadline, Stage::Answer, call).await?;
    Ok(MemberStatus {
        version: escape(answer.version.as_bytes()),
        db_size: u64::try_from(answer.db_size).unwrap_or(0),
        db_size_quota: u64::try_from(answer.db_size_quota)
            .ok()
            .filter(|quota| *quota > 0),
        leader: answer.leader,
        raft_index: answer.raft_index,
        errors: answer
            .errors
            .iter()
            .map(|error| escape(error.as_bytes()))
            .collect(),
    })
}
