//! `etcd-signer member sign`: the operator certifies a member of the etcd cluster.
//!
//! This is not the endpoint's business: nobody who comes in as the `signer` account gets here
//! (`cli`). It takes the same way as a master's request all the same, since the request comes
//! from another host.

use crate::audit::Record;
use crate::ca::{CaCertificate, CaKey};
use crate::config::{Config, Source};
use crate::csr::Csr;
use crate::error::{Error, Exit};
use crate::host::Host;
use crate::issue;
use crate::policy::{MEMBER, MemberGrant};
use crate::profile::{self, Validity};
use crate::sandbox::harden;
use crate::serve::{Environment, receive, recorded};
use crate::verify::Certificate;
use std::time::Duration;

/// What the operator says of the member.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its addresses and names: the subject alternative names, in this order.
    pub hosts: Vec<Host>,
    /// How long the certificate is valid, in days: 1 to 825.
    pub days: u16,
    /// Which settings to use.
    pub settings: Source,
}

/// Certifies the member whose request is on standard input, and leaves a record.
#[must_use]
pub fn sign(environment: &Environment<'_>, options: Options) -> Exit {
    recorded(environment, Some("member sign".to_owned()), |record| {
        answer(environment.clock, options, record)
    })
}

fn answer(clock: fn() -> i64, options: Options, record: &mut Record) -> Result<String, Error> {
    harden()?;
    record.name = Some(MEMBER.to_owned());
    let config = Config::load(&options.settings)?;
    let (ca, key_file, received) = receive(&config, clock, record)?;
    let csr = Csr::from_file(received)?;
    record.set_public_key(csr.public_key().spki());
    let grant = MemberGrant::decide(options.hosts, csr)?;

    let total = Duration::from_secs(u64::from(options.days).saturating_mul(24 * 60 * 60));
    let certificate =
        key_file.with_key(&ca, |key| certify(&grant, &ca, key, total, clock(), record))?;
    Ok(certificate.pem())
}

fn certify(
    grant: &MemberGrant,
    ca: &CaCertificate,
    key: &CaKey,
    total: Duration,
    now: i64,
    record: &mut Record,
) -> Result<Certificate, Error> {
    let validity = Validity::starting(now, total, ca);
    let params = profile::member(grant, validity, profile::serial()?)?;
    let der = issue::issue(&params, grant.public_key(), ca, key)?;
    let certificate = Certificate::check_member(der, grant, ca, now, total)?;
    record.set_certificate(&certificate, validity);
    Ok(certificate)
}
