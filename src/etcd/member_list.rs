//! The `MemberList` call of etcd's gRPC interface, with what we need of its messages.

use super::connection::{End, Watched};
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

/// The largest answer. One with nine members has some two thousand bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// How much a server may send before we have read it (RFC 9113, section 6.9).
const WINDOW: u32 = 64 * 1024;

/// How much of headers a server may send.
const HEADER_LIMIT: u32 = 16 * 1024;

/// etcdserverpb.MemberListRequest. In its absence `linearizable` is false: the answer is
/// what this one member knows, so that it also comes from a cluster without a quorum.
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
    /// Where it serves clients.
    #[prost(string, repeated, tag = "4")]
    pub(super) client_urls: Vec<String>,
    /// Whether it does not vote.
    #[prost(bool, tag = "5")]
    pub(super) is_learner: bool,
}

/// Asks for the members over an established connection.
pub(super) async fn request(connection: Watched) -> Result<Vec<Member>, EndpointCause> {
    let end = connection.end();
    match call(connection).await {
        Ok(answer) => Ok(answer.members),
        Err(Failed::Status(status)) => Err(cause(&status, &end)),
        Err(Failed::Http2(error)) => Err(end
            .cause()
            .unwrap_or_else(|| EndpointCause::of_http2(&error))),
    }
}

enum Failed {
    Http2(hyper::Error),
    Status(tonic::Status),
}

async fn call(connection: Watched) -> Result<MemberListResponse, Failed> {
    let (sender, driver) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEADER_LIMIT)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(Failed::Http2)?;
    // It ends with the runtime. Its error is told to the call, too.
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

/// What lies behind a status: one that the server sent, or one that stands for an error here.
fn cause(status: &tonic::Status, end: &End) -> EndpointCause {
    match std::error::Error::source(status) {
        None => EndpointCause::of_status(status),
        Some(error) => end
            .cause()
            .unwrap_or_else(|| EndpointCause::of_http2(error)),
    }
}

/// One HTTP/2 connection, as tonic wants to see it.
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
