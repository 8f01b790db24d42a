//! Audit records: one for each request, to the journal, or to `/dev/log` if there is no journal.
//!
//! Nothing here blocks or fails. If the journal is stuck or gone, the record is lost, not the
//! request.

use crate::pki::profile::Validity;
use crate::pki::verify::Certificate;
use crate::system::escape::hex;
use crate::system::exit::Exit;
use ring::digest::{SHA256, digest};
use rustix::net::{SendFlags, send};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// systemd's native journal protocol.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// syslog (RFC 3164's format, as the C library writes it).
const SYSLOG: &str = "/dev/log";
/// The syslog identifier.
const IDENTIFIER: &str = "etcd-signer";
/// The syslog facility authpriv.
const AUTHPRIV: u8 = 10;

/// Address and port of the client, from `SSH_CONNECTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Without a zone.
    pub address: IpAddr,
    /// The TCP port.
    pub port: u16,
}

impl Client {
    /// Parses the first two words of `SSH_CONNECTION` (ssh(1)).
    #[must_use]
    pub fn parse(ssh_connection: Option<&[u8]>) -> Option<Self> {
        let text = std::str::from_utf8(ssh_connection?).ok()?;
        let mut words = text.split(' ');
        let address = words.next()?;
        // A link-local address has a zone: fe80::1%eth0.
        let address = address
            .split_once('%')
            .map_or(address, |(address, _)| address);
        Some(Self {
            address: address.parse().ok()?,
            port: words.next()?.parse().ok()?,
        })
    }
}

/// What is known about a request. Fields are set while it is answered.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The request ID, which is in the client's error line, too.
    pub id: String,
    /// Unknown outside SSH.
    pub client: Option<Client>,
    /// The command, escaped and truncated.
    pub request: Option<String>,
    /// The requested common name, once it is known to be valid.
    pub name: Option<String>,
    /// A member's addresses and names. They are in the message alone.
    pub hosts: Option<String>,
    /// SHA-256 of the DER SubjectPublicKeyInfo, hexadecimal.
    pub public_key: Option<String>,
    /// The serial number of the certificate, hexadecimal.
    pub serial: Option<String>,
    /// notAfter of the certificate, RFC 3339.
    pub not_after: Option<String>,
    /// Which layers of confinement are in force.
    pub confinement: Option<&'static str>,
    /// A remark for the operator.
    pub remark: Option<&'static str>,
}

impl Record {
    /// Sets the fingerprint of the public key of a request.
    pub fn set_public_key(&mut self, spki: &[u8]) {
        self.public_key = Some(hex(digest(&SHA256, spki).as_ref()));
    }

    /// Sets serial number and notAfter of an issued certificate.
    pub fn set_certificate(&mut self, certificate: &Certificate, validity: Validity) {
        if validity.ends_with_ca {
            self.remark = Some("validity shortened to the CA certificate's end: rotate the CA");
        }
        self.serial = Some(hex(certificate.serial()));
        self.not_after = OffsetDateTime::from_unix_timestamp(certificate.not_after())
            .ok()
            .and_then(|end| end.format(&Rfc3339).ok());
    }

    /// One line that can be understood without the other fields. It begins with the outcome; text of
    /// a client is in quotes.
    fn message(&self, outcome: &str, reason: Option<&str>) -> String {
        let mut line = match (&self.request, reason) {
            (None, _) => format!("{outcome} a request without a command"),
            (Some(request), None) => format!("{outcome} {request}"),
            (Some(request), Some(_)) => format!("{outcome} \"{request}\""),
        };
        if let Some(hosts) = &self.hosts {
            let _ = write!(line, " for {hosts}");
        }
        if let Some(Client { address, port }) = self.client {
            let _ = write!(line, " from {address} port {port}");
        }
        if let Some(reason) = reason {
            let _ = write!(line, ": {reason}");
        } else if self.name.is_some() {
            // Without a name, the certificate is the signer's own, for its query to etcd.
            if let (Some(end), Some(serial)) = (&self.not_after, &self.serial) {
                let _ = write!(line, ": valid until {end}, serial {serial}");
            }
        }
        if let Some(remark) = self.remark {
            let _ = write!(line, " ({remark})");
        }
        line
    }
}

/// A socket to the journal or to syslog, if there is one.
#[derive(Debug)]
pub(crate) struct Log(Option<(Arc<UnixDatagram>, Format)>);

#[derive(Clone, Copy, Debug)]
enum Format {
    Journal,
    Syslog,
}

impl Log {
    /// Connects. Without a socket, records are dropped.
    #[must_use]
    pub(crate) fn open() -> Self {
        Self(
            connect(JOURNAL)
                .map(|socket| (Arc::new(socket), Format::Journal))
                .or_else(|| connect(SYSLOG).map(|socket| (Arc::new(socket), Format::Syslog))),
        )
    }

    /// Writes the record of a request, granted (`Ok`) or not.
    pub(crate) fn write(&self, record: &Record, outcome: Result<(), (&str, Exit)>) {
        let Some((socket, format)) = &self.0 else {
            return;
        };
        let (outcome, reason, exit) = match outcome {
            Ok(()) => ("granted", None, Exit::Ok),
            Err((reason, exit @ (Exit::Usage | Exit::Data))) => ("refused", Some(reason), exit),
            Err((reason, exit)) => ("failed", Some(reason), exit),
        };
        let sender = Sender {
            socket: Arc::clone(socket),
            format: *format,
            priority: match exit {
                Exit::Ok => 5,
                Exit::Usage | Exit::Data | Exit::Io => 4,
                _ => 3,
            },
        };
        // The subscriber exists for this event only, so that events of libraries are not recorded.
        let subscriber = tracing_subscriber::registry().with(sender);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                outcome,
                reason,
                request_id = record.id,
                client_address = record.client.map(|c| tracing::field::display(c.address)),
                client_port = record.client.map(|client| client.port),
                request = record.request,
                name = record.name,
                serial = record.serial,
                public_key_sha256 = record.public_key,
                not_after = record.not_after,
                confinement = record.confinement,
                remark = record.remark,
                exit_code = exit.code(),
                "{}",
                record.message(outcome, reason),
            );
        });
    }
}

fn connect(path: &str) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}

/// Sends an event as one datagram.
struct Sender {
    socket: Arc<UnixDatagram>,
    format: Format,
    priority: u8,
}

impl<S: tracing::Subscriber> Layer<S> for Sender {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let datagram = match self.format {
            Format::Journal => fields.journal(self.priority),
            Format::Syslog => fields.syslog(self.priority),
        };
        // sendto, not write: the seccomp filter allows write only to descriptors 0 to 2.
        let _ = send(&self.socket, datagram.as_bytes(), SendFlags::NOSIGNAL);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    /// <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. The values contain no newline.
    fn journal(&self, priority: u8) -> String {
        let mut text = format!(
            "MESSAGE={}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={IDENTIFIER}\nSYSLOG_FACILITY={AUTHPRIV}\n",
            self.message
        );
        for (name, value) in &self.others {
            let name = name.to_ascii_uppercase();
            let _ = writeln!(text, "ETCD_SIGNER_{name}={value}");
        }
        text
    }

    fn syslog(&self, priority: u8) -> String {
        let pid = std::process::id();
        let code = u16::from(AUTHPRIV)
            .saturating_mul(8)
            .saturating_add(priority.into());
        let mut text = format!("<{code}>{IDENTIFIER}[{pid}]: {}", self.message);
        for (name, value) in &self.others {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = write!(text, " {name}=\"{value}\"");
        }
        text
    }

    fn push(&mut self, field: &Field, value: &str) {
        // Text of a client has been escaped before. This is a second line of defence.
        let line: String = value
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        match field.name() {
            "message" => self.message = line,
            name => self.others.push((name, line)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Record};

    fn record(request: Option<&str>, client: Option<&[u8]>) -> Record {
        Record {
            client: Client::parse(client),
            request: request.map(str::to_owned),
            serial: Some("0a1b".to_owned()),
            not_after: Some("2026-11-27T10:00:00Z".to_owned()),
            ..Record::default()
        }
    }

    const MASTER: Option<&[u8]> = Some(b"10.0.0.5 50022 10.0.0.1 22");

    #[test]
    fn granted_certificate_is_described_in_the_message() {
        let mut granted = record(Some("kubemaster-1"), MASTER);
        granted.name = Some("kubemaster-1".to_owned());
        assert_eq!(
            granted.message("granted", None),
            "granted kubemaster-1 from 10.0.0.5 port 50022: \
             valid until 2026-11-27T10:00:00Z, serial 0a1b"
        );
        let mut granted = record(Some("member sign"), None);
        granted.name = Some("etcd-member".to_owned());
        granted.hosts = Some("10.0.0.2, etcd-2".to_owned());
        granted.remark = Some("rotate the CA");
        assert_eq!(
            granted.message("granted", None),
            "granted member sign for 10.0.0.2, etcd-2: \
             valid until 2026-11-27T10:00:00Z, serial 0a1b (rotate the CA)"
        );
    }

    #[test]
    fn certificate_of_the_signer_is_not_in_the_message() {
        assert_eq!(
            record(Some("get-peers"), MASTER).message("granted", None),
            "granted get-peers from 10.0.0.5 port 50022"
        );
    }

    #[test]
    fn refusal_is_described_in_the_message() {
        assert_eq!(
            record(Some("id"), MASTER).message("refused", Some("why: what to do")),
            "refused \"id\" from 10.0.0.5 port 50022: why: what to do"
        );
        assert_eq!(
            record(None, None).message("refused", Some("why")),
            "refused a request without a command: why"
        );
    }

    #[test]
    fn client_is_parsed_from_ssh_connection() {
        let client = Client::parse(Some(b"192.0.2.7 50022 192.0.2.1 22")).unwrap();
        assert_eq!(client.address.to_string(), "192.0.2.7");
        assert_eq!(client.port, 50022);
        let client = Client::parse(Some(b"fe80::1%eth0 1 fe80::2%eth0 22")).unwrap();
        assert_eq!(client.address.to_string(), "fe80::1");
        for bad in [
            &b""[..],
            b"192.0.2.7",
            b"192.0.2.7 x",
            b"UNKNOWN 1 2 3",
            b"\xff 1",
            b"\n 1",
        ] {
            assert_eq!(Client::parse(Some(bad)), None, "{bad:?}");
        }
        assert_eq!(Client::parse(None), None);
    }
}
