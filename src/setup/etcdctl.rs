//! The cluster, as etcdctl reports it in JSON, asked with a member's certificate.

use super::etcd_settings::CLIENT_PORT;
use super::paths::{CA_CERTIFICATE, MEMBER_CERTIFICATE, MEMBER_KEY};
use super::tool::{Call, ToolError};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Member {
    #[serde(rename = "ID")]
    pub(super) id: u64,
    /// Empty until it has started.
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "peerURLs", default)]
    pub(super) peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", default)]
    pub(super) client_urls: Vec<String>,
    /// A learner does not vote.
    #[serde(rename = "isLearner", default)]
    pub(super) is_learner: bool,
}

impl Member {
    /// Whether one of its peer URLs is among these.
    pub(super) fn has_peer_url(&self, urls: &[impl AsRef<str>]) -> bool {
        self.peer_urls
            .iter()
            .any(|own| urls.iter().any(|url| url.as_ref() == own))
    }
}

#[derive(Deserialize)]
struct MemberList {
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct EndpointStatus {
    #[serde(rename = "Status")]
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    header: Header,
    #[serde(default)]
    leader: u64,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    member_id: u64,
    #[serde(default)]
    revision: u64,
}

#[derive(Deserialize)]
struct Answer {
    header: Header,
}

/// Why the cluster gives no answer. One line.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error("{}", explanation(.0))]
    Etcdctl(#[from] ToolError),
    #[error("etcdctl: its answer is not the JSON that was expected ({0}): is it etcd's etcdctl?")]
    Json(#[from] serde_json::Error),
    #[error("etcdctl: no endpoint has answered")]
    NoAnswer,
}

/// Who asks, and which endpoints.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) endpoints: Vec<String>,
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Cluster {
    /// The same client, asking other endpoints.
    pub(super) fn at(&self, endpoints: &[String]) -> Self {
        Self {
            endpoints: endpoints.to_vec(),
            ..self.clone()
        }
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let path = |path: &Path| path.display().to_string();
        let mut all = vec![
            "--endpoints".to_owned(),
            self.endpoints.join(","),
            "--cacert".to_owned(),
            path(&self.ca),
            "--cert".to_owned(),
            path(&self.certificate),
            "--key".to_owned(),
            path(&self.key),
        ];
        all.extend(
            [
                "--dial-timeout=3s",
                "--command-timeout=5s",
                "--write-out=json",
            ]
            .map(str::to_owned),
        );
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Ok(etcdctl().args(all).within(30).run()?)
    }

    /// All members, learners and those that have not started too.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn members(&self) -> Result<Vec<Member>, ClusterError> {
        let text = self.ask(&["member", "list"])?;
        Ok(serde_json::from_str::<MemberList>(&text)?.members)
    }

    /// Adds a member, which does not vote as a learner.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn add_learner(&self, name: &str, peer_urls: &[String]) -> Result<(), ClusterError> {
        let urls = format!("--peer-urls={}", peer_urls.join(","));
        self.ask(&["member", "add", name, "--learner", &urls])
            .map(drop)
    }

    /// Lets a learner vote. etcd refuses until it has caught up.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn promote(&self, id: u64) -> Result<(), ClusterError> {
        self.ask(&["member", "promote", &format!("{id:x}")])
            .map(drop)
    }

    /// Takes a member off the list.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn remove(&self, id: u64) -> Result<(), ClusterError> {
        self.ask(&["member", "remove", &format!("{id:x}")])
            .map(drop)
    }

    /// Takes back all alarms. One whose cause lasts is raised again.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn disarm_alarms(&self) -> Result<String, ClusterError> {
        self.ask(&["alarm", "disarm"])
    }

    /// Whether every endpoint agrees on a proposal within the time.
    ///
    /// # Errors
    /// [`ClusterError`], if one does not.
    pub(super) fn health(&self) -> Result<(), ClusterError> {
        self.ask(&["endpoint", "health"]).map(drop)
    }

    /// Whether the first endpoint is the cluster's leader.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn is_leader(&self) -> Result<bool, ClusterError> {
        let text = self.ask(&["endpoint", "status"])?;
        let answers: Vec<EndpointStatus> = serde_json::from_str(&text)?;
        let first = answers.first().ok_or(ClusterError::NoAnswer)?;
        Ok(first.status.leader == first.status.header.member_id)
    }

    /// Hands the leadership to a member. The endpoint must be the leader's.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn move_leader(&self, to: u64) -> Result<(), ClusterError> {
        self.ask(&["move-leader", &format!("{to:x}")]).map(drop)
    }
}

/// A client with the files that are installed. The endpoints are a list with commas.
pub(super) fn installed_client(endpoints: &str) -> Cluster {
    Cluster {
        endpoints: endpoints.split(',').map(str::to_owned).collect(),
        ca: CA_CERTIFICATE.into(),
        certificate: MEMBER_CERTIFICATE.into(),
        key: MEMBER_KEY.into(),
    }
}

/// The same, of this host's own etcd.
pub(super) fn local_client() -> Cluster {
    installed_client(&format!("https://127.0.0.1:{CLIENT_PORT}"))
}

fn etcdctl() -> Call {
    // Before 3.4, version 2 of the API was the default.
    Call::new("etcdctl").env("ETCDCTL_API", "3".as_ref())
}

/// The revision of an etcd on this host that takes clients without certificates, as the one that
/// Debian's package starts: 1 if nobody has written to it.
///
/// # Errors
/// [`ClusterError`].
pub(super) fn unprotected_revision() -> Result<u64, ClusterError> {
    let text = etcdctl()
        .args([
            "--endpoints=http://127.0.0.1:2379",
            "--command-timeout=5s",
            "--write-out=json",
            "get",
            "/",
            "--limit=1",
        ])
        .run()?;
    Ok(serde_json::from_str::<Answer>(&text)?.header.revision)
}

/// What etcdctl means. Its own last line is often "context deadline exceeded" alone; why no
/// connection was made is in its log, as JSON.
fn explanation(error: &ToolError) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for line in error.stderr().lines().map(str::trim) {
        let reason = match serde_json::from_str::<LogLine>(line) {
            Ok(log) => innermost(&log.error),
            Err(_) if line.starts_with('{') => continue,
            Err(_) => innermost(line.trim_start_matches("Error: ")),
        };
        // A line that only sums up what others say.
        let is_summary = reason.is_empty() || reason == "unhealthy cluster";
        if !is_summary && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.len() > 1 {
        reasons.retain(|reason| reason != "context deadline exceeded");
    }
    if reasons.is_empty() {
        return error.to_string();
    }
    format!(
        "etcdctl: {}",
        crate::system::escape::one_line(&reasons.join("; "))
    )
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default)]
    error: String,
}

/// gRPC wraps errors in errors: `rpc error: code = Unavailable desc = ...`, with quotes that are
/// escaped anew at each level.
fn innermost(text: &str) -> String {
    let text = text.rsplit("desc = ").next().unwrap_or(text);
    let text = text.replace('\\', "");
    let text = text.trim_matches('"').trim();
    let text = text.strip_prefix("transport: ").unwrap_or(text);
    text.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Member, MemberList, explanation};
    use crate::setup::tool::ToolError;

    fn explained(stderr: &str) -> String {
        explanation(&ToolError::Failed {
            program: "etcdctl".to_owned(),
            code: Some(1),
            stderr: stderr.to_owned(),
            stdout: String::new(),
        })
    }

    // What etcdctl 3.4.23 and 3.5.16 of Debian wrote.
    #[test]
    fn reason_of_etcdctl_is_found_in_its_log() {
        let unreachable = r#"{"level":"warn","ts":"2026-11-27T03:58:10.101Z","caller":"clientv3/retry_interceptor.go:62","msg":"retrying of unary invoker failed","target":"endpoint://client-1/10.77.0.99:2379","attempt":0,"error":"rpc error: code = DeadlineExceeded desc = latest balancer error: all SubConns are in TransientFailure, latest connection error: connection error: desc = \"transport: Error while dialing dial tcp 10.77.0.99:2379: connect: connection refused\""}
Error: context deadline exceeded
"#;
        assert_eq!(
            explained(unreachable),
            "etcdctl: Error while dialing dial tcp 10.77.0.99:2379: connect: connection refused"
        );
        let refused = r#"{"level":"warn","ts":"2026-11-27T03:58:10.101Z","logger":"etcd-client","caller":"v3@v3.5.16/retry_interceptor.go:63","msg":"retrying of unary invoker failed","target":"etcd-endpoints://0xc0/127.0.0.1:2379","attempt":0,"error":"rpc error: code = Unavailable desc = etcdserver: unhealthy cluster"}
Error: etcdserver: unhealthy cluster
"#;
        assert_eq!(explained(refused), "etcdctl: etcdserver: unhealthy cluster");
        assert_eq!(
            explained(
                "Error: etcdserver: re-configuration failed due to not enough started members\n"
            ),
            "etcdctl: etcdserver: re-configuration failed due to not enough started members"
        );
        assert_eq!(explained(""), "etcdctl failed, and gave no reason");
    }

    #[test]
    fn member_list_of_etcdctl_is_read() {
        let text = r#"{"header":{"cluster_id":14841639068965178418,"member_id":10276657743932975437,"raft_term":2},"members":[{"ID":10276657743932975437,"name":"n1","peerURLs":["https://10.77.0.11:2380"],"clientURLs":["https://10.77.0.11:2379"]},{"ID":3,"peerURLs":["https://10.77.0.12:2380"],"isLearner":true}]}"#;
        let members = serde_json::from_str::<MemberList>(text).unwrap().members;
        assert_eq!(
            members,
            [
                Member {
                    id: 10_276_657_743_932_975_437,
                    name: "n1".to_owned(),
                    peer_urls: vec!["https://10.77.0.11:2380".to_owned()],
                    client_urls: vec!["https://10.77.0.11:2379".to_owned()],
                    is_learner: false,
                },
                Member {
                    id: 3,
                    name: String::new(),
                    peer_urls: vec!["https://10.77.0.12:2380".to_owned()],
                    client_urls: Vec::new(),
                    is_learner: true,
                },
            ]
        );
    }
}
