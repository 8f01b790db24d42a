//! The steps that all signing commands share: audit record, confinement, issuing.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::{CaKey, CaKeyFile};
use crate::pki::grant::Grant;
use crate::pki::issue;
use crate::pki::profile::{self, Validity};
use crate::pki::verify::Certificate;
use crate::signer::audit::{Client, Log, Record};
use crate::signer::config::SignerConfig;
use crate::signer::error::RequestError;
use crate::system::escape::hex;
use crate::system::exit::Exit;
use crate::system::sandbox::{Needs, confine};
use crate::system::{output, stdin};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::Duration;

/// Returns seconds since 1970.
pub(crate) type Clock = fn() -> i64;

/// What is read from the environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment<'a> {
    /// `SSH_ORIGINAL_COMMAND`.
    pub original_command: Option<&'a [u8]>,
    /// `SSH_CONNECTION`.
    pub connection: Option<&'a [u8]>,
    pub clock: Clock,
}

/// Runs `work`, writes its answer or an error line, and writes the audit record.
#[must_use]
pub(crate) fn with_audit_record(
    environment: &Environment<'_>,
    request: Option<String>,
    work: impl FnOnce(&mut Record) -> Result<String, RequestError>,
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
        // The record first: a client that has the answer could otherwise prevent it.
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

/// Opens the CA's files, confines the process, and then reads standard input. The CA key has not
/// been read yet.
///
/// # Errors
/// [`RequestError::Ca`], [`RequestError::Sandbox`] or [`RequestError::Input`].
pub(crate) fn confine_and_read_input(
    config: &SignerConfig,
    clock: Clock,
    record: &mut Record,
) -> Result<(CaCertificate, CaKeyFile, Vec<u8>), RequestError> {
    let ca = CaCertificate::load(&config.ca_certificate, clock())?;
    let key_file = CaKeyFile::open(&config.ca_key)?;

    let layers = confine(Needs::OpenDescriptors, config.allow_without_seccomp)?;
    record.confinement = Some(layers.as_str());
    let input = stdin::read_to_end(
        rustix::stdio::stdin(),
        config.input_limit,
        config.input_timeout,
    )?;
    Ok((ca, key_file, input))
}

/// Issues an authorized certificate and checks it.
///
/// `now` is in seconds since 1970.
///
/// # Errors
/// [`RequestError::Profile`], [`RequestError::Issue`] or [`RequestError::PostIssuance`]: each is a
/// bug in this program.
pub fn certify(
    grant: &Grant,
    ca: &CaCertificate,
    key: &CaKey,
    total: Duration,
    now: i64,
    record: &mut Record,
) -> Result<Certificate, RequestError> {
    let validity = Validity::starting(now, total, ca);
    let params = profile::parameters(grant, validity, profile::serial()?)?;
    let der = issue::issue(&params, grant.public_key(), ca, key)?;
    let certificate = Certificate::check(der, grant, ca, now, total)?;
    record.set_public_key(grant.public_key().spki());
    record.set_certificate(&certificate, validity);
    Ok(certificate)
}

/// 64 random bits. If there are none, the request fails later, when the serial number is generated.
pub(crate) fn request_id() -> String {
    let mut id = [0; 8];
    let _ = SystemRandom::new().fill(&mut id);
    hex(&id)
}
