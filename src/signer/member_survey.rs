//! What each member of the cluster serves: the certificates that `member renew` may follow with
//! others, and that `check` shows.

use crate::etcd::endpoint::Endpoint;
use crate::etcd::error::MemberListError;
use crate::etcd::identity::{Identity, OwnKey};
use crate::etcd::roster::{self, ListedMember};
use crate::etcd::served::served_certificate;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKeyFile;
use crate::pki::grant::Grant;
use crate::pki::member_renewal::{NotRenewable, RenewableMember};
use crate::pki::profile::SIGNER_VALIDITY;
use crate::signer::audit::Record;
use crate::signer::config::SignerConfig;
use crate::signer::error::RequestError;
use crate::signer::session::certify;
use crate::system::escape::escape;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The port that etcd's clients use where nobody chose another.
const CLIENT_PORT: u16 = 2379;

/// How long all handshakes may take together. The signer's own certificate lasts for longer.
const ALL_HANDSHAKES: Duration = Duration::from_secs(120);

/// How many URLs of one member are tried. A member advertises one, or one for each address family.
const URLS: usize = 4;

/// A member, and what it serves.
#[derive(Debug)]
pub(crate) struct Surveyed {
    /// Escaped.
    pub(crate) name: String,
    /// Where it was connected to.
    pub(crate) url: Option<String>,
    pub(crate) found: Result<RenewableMember, NotSurveyed>,
}

/// Why there is no certificate of a member to follow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSurveyed {
    /// Each URL with its reason, escaped.
    #[error("{0}")]
    Unreachable(String),
    /// It has shown that it holds the key of a certificate, which is not one to renew.
    #[error("{url}: its certificate is not renewed: {reason}")]
    Refused { url: String, reason: NotRenewable },
}

/// How members are asked.
pub(crate) struct Survey<'a> {
    pub(crate) config: &'a SignerConfig,
    pub(crate) ca: &'a CaCertificate,
    pub(crate) identity: &'a Identity,
    /// The ports that this process may connect to, if it is confined.
    pub(crate) ports: Option<&'a [u16]>,
    /// In seconds since 1970.
    pub(crate) now: i64,
}

/// The ports that a survey connects to: those of the endpoints in the settings, and etcd's usual
/// one. Whatever else members advertise is not connected to.
pub(crate) fn ports(config: &SignerConfig) -> Vec<u16> {
    let ports: BTreeSet<u16> = config
        .etcd_endpoints
        .iter()
        .map(Endpoint::port)
        .chain([CLIENT_PORT])
        .collect();
    ports.into_iter().collect()
}

/// The signer's own identity, in memory only. It leaves no record, since nobody gets it.
///
/// # Errors
/// [`RequestError`].
pub(crate) fn signer_identity(
    key_file: CaKeyFile,
    ca: &CaCertificate,
    now: i64,
) -> Result<Identity, RequestError> {
    let own_key = OwnKey::generate()?;
    let grant = Grant::signer(own_key.public_key().clone());
    let certificate = key_file.with_key(ca, |key| {
        certify(
            &grant,
            ca,
            key,
            SIGNER_VALIDITY,
            now,
            &mut Record::default(),
        )
    })?;
    Ok(Identity::new(own_key, &certificate))
}

impl Survey<'_> {
    /// Asks etcd for its members, and each member for its certificate.
    ///
    /// # Errors
    /// [`MemberListError`].
    pub(crate) fn run(&self) -> Result<Vec<Surveyed>, MemberListError> {
        let mut members = roster::members(
            &self.config.etcd_endpoints,
            self.ca.der(),
            self.identity,
            self.config.etcd_timeout,
        )?;
        let start = Instant::now();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members
            .into_iter()
            .map(|member| self.member(member, start))
            .collect())
    }

    fn member(&self, member: ListedMember, start: Instant) -> Surveyed {
        let ListedMember { name, client_urls } = member;
        let mut reasons = Vec::new();
        for url in client_urls.iter().take(URLS) {
            match self.certificate(url, start) {
                Ok(Ok(found)) => {
                    return Surveyed {
                        name,
                        url: Some(url.clone()),
                        found: Ok(found),
                    };
                }
                Ok(Err(reason)) => {
                    let url = url.clone();
                    return Surveyed {
                        name,
                        url: Some(url.clone()),
                        found: Err(NotSurveyed::Refused { url, reason }),
                    };
                }
                Err(reason) => reasons.push(format!("{}: {reason}", escape(url.as_bytes()))),
            }
        }
        if reasons.is_empty() {
            reasons.push("it advertises no client URL".to_owned());
        }
        Surveyed {
            name,
            url: None,
            found: Err(NotSurveyed::Unreachable(reasons.join("; "))),
        }
    }

    fn certificate(
        &self,
        url: &str,
        start: Instant,
    ) -> Result<Result<RenewableMember, NotRenewable>, String> {
        let Some(endpoint) = Endpoint::parse(url) else {
            return Err(
                "it is not an https URL of an IP address, and no name is looked up".to_owned(),
            );
        };
        if self
            .ports
            .is_some_and(|ports| !ports.contains(&endpoint.port()))
        {
            return Err("no endpoint in the settings (etcd_endpoints) has that port".to_owned());
        }
        let left = ALL_HANDSHAKES.saturating_sub(start.elapsed());
        let timeout = left.min(self.config.etcd_timeout);
        let served = served_certificate(&endpoint, self.ca.der(), self.identity, timeout)
            .map_err(|cause| cause.to_string())?;
        Ok(RenewableMember::check(served.der(), self.ca, self.now))
    }
}
