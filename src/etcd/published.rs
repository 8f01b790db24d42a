//! What signers publish for members in etcd: a member's renewed certificate, under the SHA-256 of
//! its public key. Nothing of it is secret, and nothing of it is trusted: whoever may write to etcd
//! may write there.

use super::connection;
use super::endpoint::Endpoint;
use super::error::{EndpointCause, EndpointFailure, KeyValueUser, PublishedError, Stage};
use super::grpc::{CallError, Calls};
use super::identity::Identity;
use super::{connect, endpoint_deadline, runtime, within};
use crate::pki::fingerprint::Fingerprint;
use crate::pki::public_key::PublicKey;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Code;

/// What all keys begin with.
pub(crate) const PREFIX: &str = "/etcd-signer/member/";

/// The largest value that is read as a certificate. A member's has about 1,000 bytes in PEM.
pub(crate) const VALUE_LIMIT: usize = 16 * 1024;

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";

/// The key of a member's certificate.
#[must_use]
pub(crate) fn key_of(public_key: &PublicKey) -> String {
    format!("{PREFIX}{}", Fingerprint::of(public_key.spki()))
}

/// What is under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    Nothing,
    /// More than [`VALUE_LIMIT`].
    TooLarge,
    Value(Vec<u8>),
}

/// etcdserverpb.RangeRequest, for a single key.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// A member answers from its own state, so that a cluster without a quorum answers, too.
    #[prost(bool, tag = "7")]
    serializable: bool,
}

/// etcdserverpb.RangeResponse, without its header.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

/// mvccpb.KeyValue, with the fields that are needed.
#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

/// etcdserverpb.PutRequest.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// etcdserverpb.PutResponse, of which nothing is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// How to reach the cluster, and as whom.
pub(crate) struct Access<'a> {
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) ca_certificate: &'a [u8],
    pub(crate) identity: &'a Identity,
    /// For all endpoints together.
    pub(crate) timeout: Duration,
    pub(crate) user: KeyValueUser,
}

impl Access<'_> {
    /// Reads these keys from the first endpoint that answers: what a majority has agreed on.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub(crate) fn read(&self, keys: &[String]) -> Result<Vec<Published>, PublishedError> {
        self.ask("read", async |calls: &mut Calls| {
            let mut found = Vec::new();
            for key in keys {
                found.push(self.range(calls, key, false).await?);
            }
            Ok(found)
        })
    }

    /// Reads one key as the first endpoint that answers knows it, which may be a little behind.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub(crate) fn read_one(&self, key: &str) -> Result<Published, PublishedError> {
        self.ask("read", async |calls: &mut Calls| {
            self.range(calls, key, true).await
        })
    }

    /// Writes values under their keys.
    ///
    /// # Errors
    /// [`PublishedError`]. Some may have been written.
    pub(crate) fn write(&self, values: &[(String, String)]) -> Result<(), PublishedError> {
        self.ask("written", async |calls: &mut Calls| {
            for (key, value) in values {
                let request = PutRequest {
                    key: key.clone().into_bytes(),
                    value: value.clone().into_bytes(),
                };
                let answer = calls.call::<_, PutResponse>(PUT, request).await;
                answer.map_err(|error| self.cause(error))?;
            }
            Ok(())
        })
    }

    async fn range(
        &self,
        calls: &mut Calls,
        key: &str,
        serializable: bool,
    ) -> Result<Published, EndpointCause> {
        let request = RangeRequest {
            key: key.as_bytes().to_vec(),
            serializable,
        };
        match calls.call::<_, RangeResponse>(RANGE, request).await {
            Ok(answer) => Ok(match answer.kvs.into_iter().next() {
                None => Published::Nothing,
                Some(found) if found.value.len() > VALUE_LIMIT => Published::TooLarge,
                Some(found) => Published::Value(found.value),
            }),
            Err(CallError::Status(status)) if status.code() == Code::OutOfRange => {
                Ok(Published::TooLarge)
            }
            Err(error) => Err(self.cause(error)),
        }
    }

    fn cause(&self, error: CallError) -> EndpointCause {
        match error {
            CallError::Connection(cause) => cause,
            CallError::Status(status) => EndpointCause::of_key_value_status(&status, self.user),
        }
    }

    fn ask<T>(
        &self,
        action: &'static str,
        work: impl AsyncFn(&mut Calls) -> Result<T, EndpointCause>,
    ) -> Result<T, PublishedError> {
        let now = Instant::now();
        let deadline = now.checked_add(self.timeout).unwrap_or(now);
        let config = connection::config(self.ca_certificate, self.identity)
            .map_err(PublishedError::Setup)?;
        let config = Arc::new(config);
        let runtime = runtime().map_err(PublishedError::Runtime)?;
        runtime.block_on(async {
            let mut failures = Vec::new();
            for (endpoint, left) in self.endpoints.iter().zip((1..=self.endpoints.len()).rev()) {
                let deadline = endpoint_deadline(deadline, left);
                let answer = async {
                    let tls = connect(endpoint, &config, deadline).await?;
                    let work = async {
                        let mut calls = Calls::over(tls).await.map_err(CallError::cause)?;
                        work(&mut calls).await
                    };
                    within(deadline, Stage::Agreement, work).await
                };
                match answer.await {
                    Ok(answer) => return Ok(answer),
                    Err(cause) => failures.push(EndpointFailure {
                        endpoint: endpoint.to_string(),
                        cause,
                    }),
                }
            }
            Err(PublishedError::NoAnswer { action, failures })
        })
    }
}
