//! Answering a request over SSH, from the command to the answer.
//!
//! This module determines the order of the steps; other modules do the work.

pub(crate) mod request;

use crate::etcd::client_urls;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::identity::{Identity, OwnKey};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKeyFile;
use crate::pki::csr::Csr;
use crate::pki::grant::Grant;
use crate::pki::master_name::MasterName;
use crate::pki::profile::SIGNER_VALIDITY;
use crate::signer::audit::Record;
use crate::signer::config::SignerConfig;
use crate::signer::error::RequestError;
use crate::signer::session::{
    Clock, Environment, certify, confine_and_read_input, with_audit_record,
};
use crate::system::escape::escape;
use crate::system::exit::Exit;
use crate::system::sandbox::{Needs, confine, harden};
use crate::system::settings::SettingsSource;
use request::Request;

/// Answers one request, and writes its audit record.
#[must_use]
pub(crate) fn serve(environment: &Environment<'_>, settings: &SettingsSource) -> Exit {
    let request = environment.original_command.map(escape);
    with_audit_record(environment, request, |record| {
        answer(environment, settings, record)
    })
}

fn answer(
    environment: &Environment<'_>,
    settings: &SettingsSource,
    record: &mut Record,
) -> Result<String, RequestError> {
    harden()?;
    let request = Request::parse(environment.original_command)?;
    let config = SignerConfig::load(settings)?;
    match request {
        Request::Peers => peers(&config, environment.clock, record),
        Request::Certificate => {
            let ca = CaCertificate::load(&config.ca_certificate, (environment.clock)())?;
            let layers = confine(Needs::OpenDescriptors, config.allow_without_seccomp)?;
            record.confinement = Some(layers.as_str());
            Ok(ca.pem())
        }
        Request::Sign(name) => sign(name, &config, environment.clock, record),
    }
}

fn sign(
    name: MasterName,
    config: &SignerConfig,
    clock: Clock,
    record: &mut Record,
) -> Result<String, RequestError> {
    record.name = Some(name.as_str().to_owned());
    let (ca, key_file, input) = confine_and_read_input(config, clock, record)?;
    let grant = authorize(name, &input, record)?;
    // The key is read only now, when all checks of the request have passed.
    let certificate = key_file.with_key(&ca, |key| {
        certify(&grant, &ca, key, config.validity, clock(), record)
    })?;
    Ok(certificate.pem())
}

/// Checks a request and authorizes a certificate for it.
///
/// # Errors
/// [`RequestError::Csr`] or [`RequestError::CommonName`].
pub fn authorize(
    name: MasterName,
    input: &[u8],
    record: &mut Record,
) -> Result<Grant, RequestError> {
    let csr = Csr::from_input(input)?;
    record.set_public_key(csr.public_key().spki());
    Ok(Grant::master(name, csr)?)
}

fn peers(config: &SignerConfig, clock: Clock, record: &mut Record) -> Result<String, RequestError> {
    let ca = CaCertificate::load(&config.ca_certificate, clock())?;
    let key_file = CaKeyFile::open(&config.ca_key)?;

    let ports: Vec<u16> = config.etcd_endpoints.iter().map(Endpoint::port).collect();
    let layers = confine(Needs::Tcp(&ports), config.allow_without_seccomp)?;
    record.confinement = Some(layers.as_str());
    let own_key = OwnKey::generate()?;
    let grant = Grant::signer(own_key.public_key().clone());
    // The CA key is wiped before the first byte is sent to the network.
    let certificate = key_file.with_key(&ca, |key| {
        certify(&grant, &ca, key, SIGNER_VALIDITY, clock(), record)
    })?;

    let identity = Identity::new(own_key, &certificate);
    let urls = client_urls(
        &config.etcd_endpoints,
        ca.der(),
        &identity,
        config.etcd_timeout,
    )?;
    Ok(urls.iter().map(|url| format!("{url}\n")).collect())
}
