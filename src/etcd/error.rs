//! Errors about the member list, distinguished by what the operator has to do.

use crate::system::escape::escape;
use std::collections::HashSet;
use std::{fmt, io};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::Code;

/// Why there is no member list.
#[derive(Debug, thiserror::Error)]
pub enum MemberListError {
    #[error("no member list from etcd: {}", list(.0))]
    NoAnswer(Vec<EndpointFailure>),
    #[error("no member list from etcd: TLS cannot be set up: {}", escape(.0.to_string().as_bytes()))]
    Setup(rustls::Error),
    #[error("no member list from etcd: no connection can be made: {0}")]
    Runtime(io::Error),
}

/// Why what is published for members was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    #[error(
        "what is published for members was not {action} in etcd: {}",
        list(failures)
    )]
    NoAnswer {
        action: &'static str,
        failures: Vec<EndpointFailure>,
    },
    #[error("{0}")]
    Setup(MemberListError),
    #[error("etcd cannot be asked: no connection can be made: {0}")]
    Runtime(io::Error),
}

/// As whom keys and values are read and written, where etcd's authentication is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyValueUser {
    /// The signer, which publishes.
    Signer,
    /// A member, which fetches.
    Member,
}

impl KeyValueUser {
    fn name(self) -> &'static str {
        match self {
            Self::Signer => "etcd-signer",
            Self::Member => "etcd-member",
        }
    }
}

/// An endpoint that has not answered.
#[derive(Debug)]
pub struct EndpointFailure {
    pub endpoint: String,
    pub cause: EndpointCause,
}

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connect,
    Handshake,
    Answer,
    /// Waiting for what needs a majority of the members.
    Agreement,
}

/// Why an endpoint has not answered. Text from the server is escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointCause {
    #[error("nothing listens there")]
    NothingListens,
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    #[error("no answer in time ({})", match .0 {
        Stage::Connect => "while connecting",
        Stage::Handshake => "during the TLS handshake",
        Stage::Answer => "after the TLS handshake",
        Stage::Agreement => "after the TLS handshake, as of a cluster without a quorum",
    })]
    TimedOut(Stage),
    #[error("the server closed the connection ({0})")]
    Closed(String),
    #[error("the port does not use TLS")]
    NotTls,
    /// TLS, but not HTTP/2.
    #[error("the port uses TLS, but is not etcd's")]
    NotHttp2,
    #[error("HTTP/2 failed ({0})")]
    Http2(String),
    /// For example, no common version or cipher suite.
    #[error("TLS failed: {0}")]
    Incompatible(String),
    #[error("its certificate was rejected: it is not valid for the host in the URL{0}")]
    ServerName(CertificateNames),
    #[error("its certificate was rejected: it was issued by another CA")]
    ServerIssuer,
    #[error("its certificate was rejected: it has expired")]
    ServerExpired,
    #[error("its certificate was rejected: it is not valid yet")]
    ServerNotYetValid,
    #[error("its certificate was rejected: it is not a server certificate")]
    ServerPurpose,
    #[error("its certificate was rejected: {0}")]
    ServerCertificate(String),
    #[error("the server rejected our certificate ({0})")]
    ClientCertificate(String),
    /// etcd's authentication is on, and does not know or permit the user.
    #[error("etcd rejected the identity etcd-signer (\"{0}\")")]
    Identity(String),
    /// etcd's authentication is on, and the user may not use the keys of members.
    #[error("etcd rejected the identity {} (\"{message}\")", user.name())]
    Role { user: KeyValueUser, message: String },
    #[error("the cluster does not agree on anything now (\"{0}\")")]
    NoQuorum(String),
    /// etcd's authentication is on, and etcd does not take the user from the certificate.
    #[error("etcd does not know the client's identity (\"{0}\")")]
    Anonymous(String),
    #[error("it is a learner, and learners do not answer")]
    Learner,
    #[error("it answered with an error (\"{0}\")")]
    Status(String),
    #[error("its answer is larger than a member list can be")]
    TooLarge,
    #[error("its answer is not a member list (\"{0}\")")]
    NotMemberList(String),
    /// With the number of members.
    #[error("none of its {0} members is a started voting member with a valid client URL")]
    NoMember(usize),
    /// The URLs that its members advertise are not addresses of hosts.
    #[error("its members advertise {}, which no host can connect to", escape(.0.as_bytes()))]
    Unconnectable(String),
}

/// The names in a server's certificate, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames(Vec<String>);

impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, ", but for {}", self.0.join(", "))
    }
}

impl EndpointCause {
    /// A TCP connection could not be made.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::NothingListens,
            io::ErrorKind::TimedOut => Self::TimedOut(Stage::Connect),
            kind => Self::Unreachable(kind.to_string()),
        }
    }

    /// A connection ended, and TLS gave no reason.
    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::Closed(error.kind().to_string())
    }

    /// HTTP/2 ended a connection or a call. The innermost error is the most specific one.
    pub(super) fn of_http2(mut error: &(dyn std::error::Error + 'static)) -> Self {
        while let Some(source) = error.source() {
            error = source;
        }
        Self::Http2(escape(error.to_string().as_bytes()))
    }

    /// TLS ended a connection, on either side.
    pub(super) fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(reason) => Self::of_server_certificate(reason),
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Incompatible(escape(other.to_string().as_bytes())),
        }
    }

    fn of_server_certificate(reason: &CertificateError) -> Self {
        match reason {
            CertificateError::NotValidForName => Self::ServerName(CertificateNames(Vec::new())),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::ServerName(CertificateNames(shown(presented)))
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::ServerIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::ServerExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::ServerNotYetValid
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::ServerPurpose
            }
            other => Self::ServerCertificate(escape(other.to_string().as_bytes())),
        }
    }

    /// RFC 8446, section 6.2.
    fn of_alert(alert: AlertDescription) -> Self {
        let name = match alert {
            AlertDescription::BadCertificate => "bad certificate",
            AlertDescription::UnsupportedCertificate => "unsupported certificate",
            AlertDescription::CertificateRevoked => "certificate revoked",
            AlertDescription::CertificateExpired => "certificate expired",
            AlertDescription::CertificateUnknown => "certificate unknown",
            AlertDescription::UnknownCA => "unknown CA",
            AlertDescription::AccessDenied => "access denied",
            AlertDescription::CertificateRequired => "certificate required",
            AlertDescription::NoApplicationProtocol => return Self::NotHttp2,
            other => {
                let alert = escape(format!("{other:?}").as_bytes());
                return Self::Incompatible(format!("the server sent the TLS alert {alert}"));
            }
        };
        Self::ClientCertificate(name.to_owned())
    }

    /// A gRPC status: the server's, or tonic's own about what the server sent.
    pub(super) fn of_status(status: &tonic::Status) -> Self {
        let message = escape(status.message().as_bytes());
        let contains = |words| status.message().contains(words);
        match status.code() {
            // etcd's messages, if its codes alone are not specific enough.
            _ if contains("not supported for learner") => Self::Learner,
            Code::InvalidArgument if contains("user name is empty") => Self::Anonymous(message),
            Code::FailedPrecondition if contains("user name not found") => Self::Identity(message),
            Code::PermissionDenied | Code::Unauthenticated => Self::Identity(message),
            Code::OutOfRange => Self::TooLarge,
            Code::Internal | Code::Unimplemented => Self::NotMemberList(message),
            _ => Self::Status(message),
        }
    }

    /// The same for reading and writing keys, which take a role, and a quorum.
    pub(super) fn of_key_value_status(status: &tonic::Status, user: KeyValueUser) -> Self {
        let contains = |words| status.message().contains(words);
        match Self::of_status(status) {
            Self::Identity(message) => Self::Role { user, message },
            Self::Status(message) if contains("timed out") || contains("leader") => {
                Self::NoQuorum(message)
            }
            other => other,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NothingListens => "start etcd there, or correct etcd_endpoints",
            Self::Unreachable(_) | Self::TimedOut(Stage::Connect) => {
                "check that address in etcd_endpoints, the route and the firewall"
            }
            Self::TimedOut(Stage::Agreement) => {
                "see that most members run: etcdctl endpoint health --cluster"
            }
            Self::TimedOut(_) | Self::Closed(_) | Self::Status(_) => "read etcd's log on that host",
            Self::NoQuorum(_) => "see that most members run: etcdctl endpoint health --cluster",
            Self::Role {
                user: KeyValueUser::Signer,
                ..
            } => {
                "etcd's authentication is on: the user etcd-signer needs a role with readwrite on \
                 the prefix /etcd-signer/member/ (RUNBOOK, Members and etcd's authentication)"
            }
            Self::Role {
                user: KeyValueUser::Member,
                ..
            } => {
                "etcd's authentication is on: the user etcd-member needs a role with read on the \
                 prefix /etcd-signer/member/ (RUNBOOK, Members and etcd's authentication)"
            }
            Self::NotTls => "etcd must serve https there, or correct etcd_endpoints",
            Self::NotHttp2 | Self::Http2(_) | Self::TooLarge | Self::NotMemberList(_) => {
                "find out what listens there, or correct etcd_endpoints"
            }
            Self::Incompatible(_) => {
                "compare etcd's TLS settings: TLS 1.2 or 1.3 with AEAD ciphers is needed"
            }
            Self::ServerName(_) => {
                "reissue etcd's server certificate with that host in it, or use a host that is in it"
            }
            Self::ServerIssuer => {
                "ca_certificate must be etcd's CA; if it is, something else answers in etcd's place"
            }
            Self::ServerExpired | Self::ServerNotYetValid => {
                "renew etcd's server certificate, or correct this host's clock"
            }
            Self::ServerPurpose | Self::ServerCertificate(_) => {
                "reissue etcd's server certificate with extendedKeyUsage serverAuth"
            }
            Self::ClientCertificate(_) => {
                "etcd's --trusted-ca-file must contain ca_certificate, and the clocks must agree"
            }
            Self::Identity(_) => {
                "etcd's authentication is on: run 'etcdctl user add etcd-signer --no-password'; \
                 it needs no role"
            }
            Self::Anonymous(_) => {
                "etcd's authentication is on: start etcd with --client-cert-auth, \
                 so that it takes the name from the certificate"
            }
            Self::Learner => "add a voting member to etcd_endpoints",
            Self::Unconnectable(_) => {
                "start each etcd with --advertise-client-urls of an address of its host"
            }
            Self::NoMember(_) => {
                "run 'etcdctl member list', and check --advertise-client-urls of each member"
            }
        }
    }
}

/// The rustls error that an I/O error carries.
pub(super) fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// How many of a certificate's names are shown.
const SHOWN_NAMES: usize = 4;

fn shown(names: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = names
        .iter()
        .take(SHOWN_NAMES)
        .map(|name| escape(bare(name).as_bytes()))
        .collect();
    let hidden = names.len().saturating_sub(SHOWN_NAMES);
    if hidden > 0 {
        shown.push(format!("and {hidden} more"));
    }
    shown
}

/// rustls says `DnsName("a")` and `IpAddress(10.0.0.1)`.
fn bare(name: &str) -> &str {
    name.split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .map_or(name, |inner| inner.trim_matches('"'))
}

/// Every endpoint with its cause, and each piece of advice once.
fn list(failures: &[EndpointFailure]) -> String {
    let mut given = HashSet::new();
    let parts: Vec<String> = failures
        .iter()
        .map(|EndpointFailure { endpoint, cause }| {
            let advice = cause.advice();
            if given.insert(advice) {
                format!("{endpoint}: {cause}: {advice}")
            } else {
                format!("{endpoint}: {cause}")
            }
        })
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::{EndpointCause, EndpointFailure, MemberListError, Stage};
    use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
    use tonic::{Code, Status};

    fn failure(endpoint: &str, cause: EndpointCause) -> EndpointFailure {
        EndpointFailure {
            endpoint: endpoint.to_owned(),
            cause,
        }
    }

    #[test]
    fn message_has_every_endpoint_and_each_advice_once() {
        let error = MemberListError::NoAnswer(vec![
            failure("https://a:1", EndpointCause::NothingListens),
            failure("https://b:1", EndpointCause::TimedOut(Stage::Handshake)),
            failure("https://c:1", EndpointCause::NothingListens),
        ]);
        assert_eq!(
            error.to_string(),
            "no member list from etcd: \
             https://a:1: nothing listens there: start etcd there, or correct etcd_endpoints; \
             https://b:1: no answer in time (during the TLS handshake): \
             read etcd's log on that host; \
             https://c:1: nothing listens there"
        );
    }

    #[test]
    fn message_names_the_side_that_rejected() {
        let server =
            EndpointCause::of_tls(&rustls::Error::AlertReceived(AlertDescription::UnknownCA));
        assert_eq!(
            server.to_string(),
            "the server rejected our certificate (unknown CA)"
        );
        let ours = EndpointCause::of_tls(&CertificateError::UnknownIssuer.into());
        assert_eq!(ours, EndpointCause::ServerIssuer);
    }

    #[test]
    fn text_of_a_server_is_escaped_and_truncated() {
        let status = Status::new(Code::Unavailable, format!("\x1b[31m\n{}", "x".repeat(9000)));
        let line = MemberListError::NoAnswer(vec![failure(
            "https://a:1",
            EndpointCause::of_status(&status),
        )]);
        let line = line.to_string();
        assert!(line.contains(r#"("\x1b[31m\nxxx"#), "{line}");
        assert!(line.len() < 400, "{line}");

        let name = "a\u{202e}\n".to_owned();
        let presented = vec![name; 9];
        let expected = "b".try_into().unwrap();
        let cause = EndpointCause::of_tls(
            &CertificateError::NotValidForNameContext {
                expected,
                presented,
            }
            .into(),
        );
        let line = cause.to_string();
        assert!(
            line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{line}"
        );
        assert!(line.ends_with(r"a\xe2\x80\xae\n, and 5 more"), "{line}");
    }

    #[test]
    fn authentication_errors_of_etcd_are_recognized() {
        for (code, message) in [
            (Code::FailedPrecondition, "etcdserver: user name not found"),
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
        ] {
            let cause = EndpointCause::of_status(&Status::new(code, message));
            assert_eq!(cause, EndpointCause::Identity(message.to_owned()));
            assert!(cause.advice().contains("user add etcd-signer"));
        }
        let anonymous = Status::new(Code::InvalidArgument, "etcdserver: user name is empty");
        let cause = EndpointCause::of_status(&anonymous);
        assert!(cause.advice().contains("--client-cert-auth"), "{cause}");
        let learner = Status::new(
            Code::FailedPrecondition,
            "etcdserver: rpc not supported for learner",
        );
        assert_eq!(EndpointCause::of_status(&learner), EndpointCause::Learner);
    }
}
