//! `renew`: this member's certificate, by hand: for its key, and for the names that it has now.
//!
//! It is for what `etcd-signer member renew` leaves to a person: a certificate that has expired, is
//! of another CA than the one in place, or is for names that do not fit.

use super::cli::RenewArgs;
use super::clock::now;
use super::console::Console;
use super::error::{SetupError, refuse};
use super::identity::{MemberIdentity, check_certificate, request};
use super::leader::Leader;
use super::own_signer;
use super::paths::{CA_CERTIFICATE, CA_KEY, ENVIRONMENT, MEMBER_CERTIFICATE, MEMBER_KEY};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::private_key::PrivateKey;
use crate::system::environment_file;
use crate::system::installed_file;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Has a certificate signed, tests it as `join` does, and puts it in place of the one that is there.
///
/// # Errors
/// [`SetupError::Refused`]. Then the old one stays.
pub(super) fn renew(
    console: &mut Console,
    args: &RenewArgs,
    agent: Option<&OsString>,
) -> Result<ExitCode, SetupError> {
    let identity = identity()?;
    let ca = match CaCertificate::load(Path::new(CA_CERTIFICATE), now()) {
        Ok(ca) => ca,
        Err(why) => refuse!("{why}"),
    };
    let pem = match fs::read(MEMBER_KEY) {
        Ok(pem) => Zeroizing::new(pem),
        Err(why) => refuse!("{MEMBER_KEY}: {why}: this host is no member"),
    };
    let key = match PrivateKey::from_pem(&pem, None) {
        Ok(key) => key,
        Err(why) => refuse!("{MEMBER_KEY}: {why}"),
    };
    if console.dry_run {
        console.say(&format!(
            "would: have a certificate signed for {} {}, and put it in place",
            identity.name,
            identity.sign_options().join(" ")
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let certificate = sign(args, &identity, &key, agent)?;
    check_certificate(certificate.as_bytes(), &key, &ca, &identity, now())
        .map_err(SetupError::Refused)?;
    let path = Path::new(MEMBER_CERTIFICATE);
    installed_file::remove_temporary_files_beside(path);
    installed_file::replace_regular(path, certificate.as_bytes(), 0o444)?;
    console.say(&format!(
        "{MEMBER_CERTIFICATE} is renewed: etcd reads it at the next connection."
    ));
    Ok(ExitCode::SUCCESS)
}

/// Who this member is, by etcd's settings.
fn identity() -> Result<MemberIdentity, SetupError> {
    let Ok(settings) = fs::read_to_string(ENVIRONMENT) else {
        refuse!(
            "{ENVIRONMENT} is missing: this host is no member that etcd-signer-setup has set up: \
             etcd-signer member sign on a signer, with each --host"
        );
    };
    let settings = environment_file::parse(&settings);
    let urls = |name: &str| settings.get(name).copied().unwrap_or_default().to_owned();
    let listed = [
        urls("ETCD_INITIAL_ADVERTISE_PEER_URLS"),
        urls("ETCD_ADVERTISE_CLIENT_URLS"),
    ]
    .join(",");
    let mut addresses = Vec::new();
    for url in listed.split(',').filter(|url| !url.is_empty()) {
        let address = url.trim().strip_prefix("https://").and_then(|authority| {
            let socket: std::net::SocketAddr = authority.trim_end_matches('/').parse().ok()?;
            Some(socket.ip())
        });
        match address {
            Some(address) if addresses.contains(&address) => {}
            Some(address) => addresses.push(address),
            None => refuse!(
                "{ENVIRONMENT}: {url} is not an https URL of an address: etcd-signer member sign on \
                 a signer, with each --host"
            ),
        }
    }
    let name = urls("ETCD_NAME");
    if name.is_empty() || addresses.is_empty() {
        refuse!("{ENVIRONMENT} has no ETCD_NAME, or no ETCD_INITIAL_ADVERTISE_PEER_URLS");
    }
    Ok(MemberIdentity { name, addresses })
}

fn sign(
    args: &RenewArgs,
    identity: &MemberIdentity,
    key: &PrivateKey,
    agent: Option<&OsString>,
) -> Result<String, SetupError> {
    let request = request(key).map_err(SetupError::Refused)?;
    match args.signer_ip {
        Some(address) => {
            Leader::new(address, args.ssh_port, args.admin.as_ref(), agent).sign(&request, identity)
        }
        None if !Path::new(CA_KEY).exists() => {
            refuse!("this host is no signer: name one with --signer-ip")
        }
        None => own_signer::sign(identity, &request)
            .map_err(|error| SetupError::Refused(error.to_string())),
    }
}
