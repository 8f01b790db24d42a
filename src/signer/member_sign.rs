//! `etcd-signer member sign`: signs a certificate for a member of the etcd cluster, for the operator.
//!
//! It is not reachable over SSH, because the account can only run `serve` (see `cli`). The request
//! comes from another host, and is checked as a master's is.

use crate::pki::csr::Csr;
use crate::pki::grant::Grant;
use crate::pki::member_host::{MEMBER, MemberHost};
use crate::signer::audit::Record;
use crate::signer::config::SignerConfig;
use crate::signer::error::RequestError;
use crate::signer::session::{
    Clock, Environment, certify, confine_and_read_input, with_audit_record,
};
use crate::system::exit::Exit;
use crate::system::sandbox::harden;
use crate::system::settings::SettingsSource;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct MemberSignOptions {
    /// The subject alternative names, in this order.
    pub hosts: Vec<MemberHost>,
    /// The validity of the certificate in days: 1 to 825.
    pub days: u16,
    pub settings: SettingsSource,
}

/// Signs the request on standard input, and writes an audit record.
#[must_use]
pub(crate) fn sign(environment: &Environment<'_>, options: MemberSignOptions) -> Exit {
    with_audit_record(environment, Some("member sign".to_owned()), |record| {
        answer(environment.clock, options, record)
    })
}

fn answer(
    clock: Clock,
    options: MemberSignOptions,
    record: &mut Record,
) -> Result<String, RequestError> {
    harden()?;
    record.name = Some(MEMBER.to_owned());
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    record.hosts = Some(hosts.join(", "));
    let config = SignerConfig::load(&options.settings)?;
    let (ca, key_file, input) = confine_and_read_input(&config, clock, record)?;
    let csr = Csr::from_file(input)?;
    record.set_public_key(csr.public_key().spki());
    let grant = Grant::member(options.hosts, csr)?;

    let total = Duration::from_secs(u64::from(options.days).saturating_mul(24 * 60 * 60));
    let certificate =
        key_file.with_key(&ca, |key| certify(&grant, &ca, key, total, clock(), record))?;
    Ok(certificate.pem())
}
