//! The `MemberList` call of etcd's gRPC interface, with the fields that are needed.

use super::connection::{CloseReason, MonitoredStream};
use super::error::EndpointCause;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;
use tower_service::Service;

const PATH: &str = "/etcdserverpb.Cluster/MemberList";

/// The largest answer. With nine members it has about 2,000 bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The flow-control window (RFC 9113, section 6.9).
const WINDOW: u32 = 64 * 1024;

/// The largest header list that a server may send.
const HEADER_LIMIT: u32 = 16 * 1024;

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

/// etcdserverpb.Member, without its identifier and peer URLs.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Member {
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
    let close_reason = connection.close_reason();
    match call(connection).await {
        Ok(answer) => Ok(answer.members),
        Err(Failed::Status(status)) => Err(cause(&status, &close_reason)),
        Err(Failed::Http2(error)) => Err(close_reason
            .cause()
            .unwrap_or_else(|| EndpointCause::of_http2(&error))),
    }
}

enum Failed {
    Http2(hyper::Error),
    Status(tonic::Status),
}

async fn call(connection: MonitoredStream) -> Result<MemberListResponse, Failed> {
    let (sender, driver) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEADER_LIMIT)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(Failed::Http2)?;
    // It ends with the runtime. The call gets its error, too.
    tokio::spawn(driver);
    let mut client = Grpc::with_origin(Http2(sender), Uri::from_static("https://etcd"))
        .max_decoding_message_size(ANSWER_LIMIT);
    let request = tonic::Request::new(MemberListRequest {
        linearizable: false,
    });
    let codec = ProstCodec::<MemberListRequest, MemberListResponse>::default();
    client
        .unary(request, PathAndQuery::from_static(PATH), codec)
        .await
        .map(tonic::Response::into_inner)
        .map_err(Failed::Status)
}

/// The cause of a status, which the server has sent or tonic has made from an error here.
fn cause(status: &tonic::Status, close_reason: &CloseReason) -> EndpointCause {
    match std::error::Error::source(status) {
        None => EndpointCause::of_status(status),
        Some(error) => close_reason
            .cause()
            .unwrap_or_else(|| EndpointCause::of_http2(error)),
    }
}

/// An HTTP/2 connection as a service for tonic.
struct Http2(SendRequest<Body>);

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
