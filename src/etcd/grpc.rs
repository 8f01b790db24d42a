//! Unary calls of etcd's gRPC interface, one after another over one connection.

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

/// The largest answer. A member list of nine members has about 2,000 bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The flow-control window (RFC 9113, section 6.9).
const WINDOW: u32 = 64 * 1024;

/// The largest header list that a server may send.
const HEADER_LIMIT: u32 = 16 * 1024;

/// Why a call has no answer.
pub(super) enum CallError {
    /// The connection, or what came over it.
    Connection(EndpointCause),
    /// The server's status, or tonic's own about what the server sent.
    Status(tonic::Status),
}

impl CallError {
    /// The cause, for calls whose statuses mean nothing special.
    pub(super) fn cause(self) -> EndpointCause {
        match self {
            Self::Connection(cause) => cause,
            Self::Status(status) => EndpointCause::of_status(&status),
        }
    }
}

/// An HTTP/2 connection for calls.
pub(super) struct Calls {
    client: Grpc<Http2>,
    close_reason: CloseReason,
}

impl Calls {
    pub(super) async fn over(connection: MonitoredStream) -> Result<Self, CallError> {
        let close_reason = connection.close_reason();
        let (sender, driver) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADER_LIMIT)
            .handshake(TokioIo::new(connection))
            .await
            .map_err(|error| {
                let cause = close_reason.cause();
                CallError::Connection(cause.unwrap_or_else(|| EndpointCause::of_http2(&error)))
            })?;
        // It ends with the runtime. The calls get its error, too.
        tokio::spawn(driver);
        let client = Grpc::with_origin(Http2(sender), Uri::from_static("https://etcd"))
            .max_decoding_message_size(ANSWER_LIMIT);
        Ok(Self {
            client,
            close_reason,
        })
    }

    pub(super) async fn call<Q, A>(
        &mut self,
        path: &'static str,
        request: Q,
    ) -> Result<A, CallError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        self.client
            .unary(
                tonic::Request::new(request),
                PathAndQuery::from_static(path),
                codec,
            )
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| match std::error::Error::source(&status) {
                None => CallError::Status(status),
                Some(error) => CallError::Connection(
                    self.close_reason
                        .cause()
                        .unwrap_or_else(|| EndpointCause::of_http2(error)),
                ),
            })
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
