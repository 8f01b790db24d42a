//! One request, from the command to the audit record: the order in which things happen.
//!
//! This module owns no rule. Each step is another module's, and takes what the one before made.

use crate::audit::{self, Client, Log, Record};
use crate::ca::{CaCertificate, CaKey, CaKeyFile};
use crate::config::{Config, Source};
use crate::csr::Csr;
use crate::endpoint::Endpoint;
use crate::error::{Error, Exit};
use crate::escape::escape;
use crate::identity::{Identity, OwnKey};
use crate::name::MasterName;
use crate::peers::client_urls;
use crate::policy::Grant;
use crate::profile::{self, SIGNER_VALIDITY, Validity};
use crate::request::Request;
use crate::sandbox::{Needs, confine, harden};
use crate::verify::Certificate;
use crate::{input, issue, output};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;

/// All that is read of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// `SSH_ORIGINAL_COMMAND`: what the client asked for.
    pub original_command: Option<&'a [u8]>,
    /// `SSH_CONNECTION`: where the client comes from.
    pub connection: Option<&'a [u8]>,
    /// The clock: seconds since 1970.
    pub clock: fn() -> i64,
}

/// Answers one request, and leaves its record.
#[must_use]
pub fn serve(environment: &Environment<'_>, settings: &Source) -> Exit {
    let request = environment.original_command.map(escape);
    recorded(environment, request, |record| {
        answer(environment, settings, record)
    })
}

/// Does some work, writes the answer that it has, or the line that says why not, and leaves
/// the one record.
#[must_use]
pub fn recorded(
    environment: &Environment<'_>,
    request: Option<String>,
    work: impl FnOnce(&mut Record) -> Result<String, Error>,
) -> Exit {
    let log = Log::open();
    let mut record = Record {
        id: request_id(),
        client: Client::parse(environment.connection),
        request,
        ..Record::default()
    };
    let mut outcome = work(&mut record);
    if let Ok(answer) = &outcome {
        // The record first: whoever has the answer could otherwise see to it that there is none.
        log.write(&record, Ok(()));
        match output::answer(answer.as_bytes()) {
            Ok(()) => return Exit::Ok,
            Err(error) => outcome = Err(error.into()),
        }
    }
    let Err(error) = outcome else {
        return Exit::Ok;
    };
    let (reason, exit) = (error.to_string(), error.exit());
    log.write(&record, Err((&reason, exit)));
    output::error_line(&format!("{reason} [request {}]", record.id));
    exit
}

fn answer(
    environment: &Environment<'_>,
    settings: &Source,
    record: &mut Record,
) -> Result<String, Error> {
    harden()?;
    let request = Request::parse(environment.original_command)?;
    let config = Config::load(settings)?;
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
    config: &Config,
    clock: fn() -> i64,
    record: &mut Record,
) -> Result<String, Error> {
    record.name = Some(name.as_str().to_owned());
    let (ca, key_file, received) = receive(config, clock, record)?;
    let grant = judge(name, &received, record)?;
    // Only now, with nothing of the client's left to judge, is the key read.
    let certificate = key_file.with_key(&ca, |key| {
        certify(&grant, &ca, key, config.validity, clock(), record)
    })?;
    Ok(certificate.pem())
}

/// Opens the CA's files, gives up what is not needed any more, and only then takes what was sent.
/// Of the key, nothing has been read.
///
/// # Errors
/// [`Error::Ca`], [`Error::Sandbox`] or [`Error::Input`].
pub fn receive(
    config: &Config,
    clock: fn() -> i64,
    record: &mut Record,
) -> Result<(CaCertificate, CaKeyFile, Vec<u8>), Error> {
    let ca = CaCertificate::load(&config.ca_certificate, clock())?;
    let key_file = CaKeyFile::open(&config.ca_key)?;

    let layers = confine(Needs::OpenDescriptors, config.allow_without_seccomp)?;
    record.confinement = Some(layers.as_str());
    let received = input::read_to_end(
        rustix::stdio::stdin(),
        config.input_limit,
        config.input_timeout,
    )?;
    Ok((ca, key_file, received))
}

/// The first half of signing, as a function of values: may what was received be granted?
///
/// # Errors
/// [`Error::Csr`] or [`Error::WrongName`].
pub fn judge(name: MasterName, received: &[u8], record: &mut Record) -> Result<Grant, Error> {
    let csr = Csr::from_input(received)?;
    record.set_public_key(csr.public_key().spki());
    Ok(Grant::decide(name, csr)?)
}

/// The second half: what was granted is issued, and looked at again.
///
/// `now` is in seconds since 1970.
///
/// # Errors
/// [`Error::Profile`], [`Error::Issue`] or [`Error::Verify`]: each a defect of this program.
pub fn certify(
    grant: &Grant,
    ca: &CaCertificate,
    key: &CaKey,
    total: Duration,
    now: i64,
    record: &mut Record,
) -> Result<Certificate, Error> {
    let validity = Validity::starting(now, total, ca);
    let params = profile::client(grant, validity, profile::serial()?)?;
    let der = issue::issue(&params, grant.public_key(), ca, key)?;
    let certificate = Certificate::check(der, grant, ca, now, total)?;

    record.set_certificate(&certificate, validity);
    Ok(certificate)
}

fn peers(config: &Config, clock: fn() -> i64, record: &mut Record) -> Result<String, Error> {
    let ca = CaCertificate::load(&config.ca_certificate, clock())?;
    let key_file = CaKeyFile::open(&config.ca_key)?;

    let ports: Vec<u16> = config.etcd_endpoints.iter().map(Endpoint::port).collect();
    let layers = confine(Needs::Tcp(&ports), config.allow_without_seccomp)?;
    record.confinement = Some(layers.as_str());
    let own_key = OwnKey::generate()?;
    // The key is gone before the first byte goes out to a network.
    let validity = Validity::starting(clock(), SIGNER_VALIDITY, &ca);
    let der = key_file.with_key(&ca, |key| {
        let params = profile::signer(validity, profile::serial()?)?;
        Ok::<_, Error>(issue::issue(&params, own_key.public_key(), &ca, key)?)
    })?;
    let certificate = Certificate::check_signer(der, own_key.public_key(), &ca, clock())?;
    record.set_public_key(own_key.public_key().spki());
    record.set_certificate(&certificate, validity);

    let identity = Identity::new(own_key, certificate);
    let urls = client_urls(
        &config.etcd_endpoints,
        ca.der(),
        &identity,
        config.etcd_timeout,
    )?;
    Ok(urls.iter().map(|url| format!("{url}\n")).collect())
}

/// 64 random bits. A request without them fails later, where the serial number needs more.
fn request_id() -> String {
    let mut id = [0; 8];
    let _ = SystemRandom::new().fill(&mut id);
    audit::hex(&id)
}
