//! The `MemberList` call of etcd's gRPC interface, with the fields that are needed.

use super::connection::MonitoredStream;
use super::error::EndpointCause;
use super::grpc::{CallError, Calls};

const PATH: &str = "/etcdserverpb.Cluster/MemberList";

/// etcdserverpb.MemberListRequest. With `linearizable` false, a member answers from its own state,
/// so that a cluster without a quorum answers, too.
#[derive(Clone, PartialEq, prost::Message)]
struct MemberListRequest {
    #[prost(bool, tag = "1")]
    linearizable: bool,
}

/// etcdserverpb.MemberListResponse, without its header.
#[derive(Clone, PartialEq, prost::Message)]
struct MemberListResponse {
    #[prost(message, repeated, tag = "2")]
    members: Vec<Member>,
}

/// etcdserverpb.Member, without its peer URLs.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Member {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// Empty until it has started.
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) client_urls: Vec<String>,
    /// A learner does not vote.
    #[prost(bool, tag = "5")]
    pub(super) is_learner: bool,
}

/// Queries the members over an established connection.
pub(super) async fn request(connection: MonitoredStream) -> Result<Vec<Member>, EndpointCause> {
    let request = MemberListRequest {
        linearizable: false,
    };
    let call = async {
        let mut calls = Calls::over(connection).await?;
        calls.call::<_, MemberListResponse>(PATH, request).await
    };
    let answer = call.await.map_err(CallError::cause)?;
    Ok(answer.members)
}
