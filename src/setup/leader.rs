//! The leader, over ssh and as an etcd, before this host is a member.

use super::clock::now;
use super::error::{SetupError, refuse};
use super::identity::MemberIdentity;
use super::tool::{Call, ssh};
use crate::etcd::clock;
use crate::etcd::endpoint::Endpoint;
use crate::etcd::identity::Identity;
use crate::pki::ca::certificate::CaCertificate;
use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// By how much two clocks may differ, in seconds.
const MAX_SKEW: i64 = 5;

/// How long etcd on the leader may take to answer.
const TIME: Duration = Duration::from_secs(10);

/// How the leader is reached.
pub(super) struct Leader<'a> {
    address: IpAddr,
    ssh_port: u16,
    /// `USER@HOST`, where USER is root or may use sudo.
    admin: String,
    /// The socket of an ssh agent.
    agent: Option<&'a OsString>,
}

impl<'a> Leader<'a> {
    /// `admin` is root at this address unless it is given.
    pub(super) fn new(
        address: IpAddr,
        ssh_port: u16,
        admin: Option<&String>,
        agent: Option<&'a OsString>,
    ) -> Self {
        Self {
            address,
            ssh_port,
            admin: admin.map_or_else(|| format!("root@{address}"), Clone::clone),
            agent,
        }
    }

    fn ssh(&self, target: &str, command: &[String]) -> Call {
        let call = ssh(&[
            "ConnectTimeout=10",
            "StrictHostKeyChecking=accept-new",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=2",
            "ControlPath=none",
        ])
        .args(["-p", &self.ssh_port.to_string()])
        .args(["--", target])
        .args(command);
        match self.agent {
            Some(agent) => call.env("SSH_AUTH_SOCK", agent),
            None => call,
        }
    }

    /// Asks the signer, as a master does.
    fn ask(&self, command: &str) -> Result<String, String> {
        let target = format!("signer@{}", self.address);
        self.ssh(&target, &[command.to_owned()])
            .run()
            .map_err(|error| error.to_string())
    }

    /// Runs a command as root there.
    fn as_root(&self, command: &[&str], input: &[u8]) -> Result<String, String> {
        let sudo = if self.admin.starts_with("root@") {
            &[][..]
        } else {
            &["sudo", "-n", "--"][..]
        };
        let words: Vec<String> = sudo
            .iter()
            .chain(command)
            .map(|w| (*w).to_owned())
            .collect();
        self.ssh(&self.admin, &words)
            .input(input)
            .run()
            .map_err(|error| error.to_string())
    }

    /// The CA certificate, which is the one that the operator named, or is told to compare.
    ///
    /// # Errors
    /// [`SetupError::Refused`].
    pub(super) fn ca(
        &self,
        expected: Option<&String>,
        say: impl FnOnce(&str),
    ) -> Result<CaCertificate, SetupError> {
        let signer = format!("signer@{}", self.address);
        let sent = match self.ask("get-certificate") {
            Ok(sent) => sent,
            Err(why) => refuse!("the leader's signer does not answer at {signer}: {why}"),
        };
        let ca = match CaCertificate::from_pem(sent.as_bytes(), now()) {
            Ok(ca) => ca,
            Err(why) => refuse!("the CA certificate that {signer} has sent cannot be used: {why}"),
        };
        let found = crate::pki::fingerprint::Fingerprint::of(ca.der()).to_string();
        match expected {
            None => say(&format!(
                "the CA's fingerprint is {found}: compare it with the one that init printed, or \
                 use --ca-fingerprint"
            )),
            Some(expected) if *expected == found => {}
            Some(_) => refuse!(
                "the CA certificate of {} has the fingerprint {found}, not the one given: that is \
                 another CA",
                self.address
            ),
        }
        Ok(ca)
    }

    /// The client URLs that the signer knows. For a message: it may not answer.
    pub(super) fn client_urls(&self) -> Option<String> {
        let urls = self.ask("get-peers").ok()?;
        let urls: Vec<&str> = urls.lines().collect();
        (!urls.is_empty()).then(|| urls.join(", "))
    }

    /// Compares this host's clock with the one of the leader's shell.
    ///
    /// # Errors
    /// [`SetupError::Refused`].
    pub(super) fn compare_clock_of_shell(&self) -> Result<(), SetupError> {
        let before = now();
        let asked = self.ssh(&self.admin, &["date".to_owned(), "+%s".to_owned()]);
        let text = match asked.run() {
            Ok(text) => text,
            Err(why) => refuse!(
                "the leader's clock cannot be read as {}: {why}. Without access as root there: \
                 --csr-out, then --certificate (see --help)",
                self.admin
            ),
        };
        match text.trim().parse() {
            Ok(theirs) => compare(before, theirs),
            Err(_) => refuse!(
                "the leader's clock cannot be read as {}: date has answered with {:?}",
                self.admin,
                text.trim()
            ),
        }
    }

    /// The same, with the one of its etcd, for which this member's certificate is needed.
    ///
    /// # Errors
    /// [`SetupError::Refused`].
    pub(super) fn compare_clock_of_etcd(
        &self,
        ca: &CaCertificate,
        identity: &Identity,
    ) -> Result<(), SetupError> {
        let url =
            super::etcd_settings::urls(&[self.address], super::etcd_settings::CLIENT_PORT).join("");
        let Some(endpoint) = Endpoint::parse(&url) else {
            refuse!("--signer-ip {}: no address of an etcd", self.address);
        };
        let before = now();
        let date = match clock::date(&endpoint, ca.der(), identity, TIME) {
            Ok(date) => date,
            Err(why) => refuse!(
                "the leader's clock cannot be read: etcd at {url}: {why}{}",
                self.hint_of_urls()
            ),
        };
        match OffsetDateTime::parse(&date, &Rfc2822) {
            Ok(theirs) => compare(before, theirs.unix_timestamp()),
            Err(_) => refuse!("the leader's clock cannot be read: etcd at {url} sent no date"),
        }
    }

    /// What an operator needs who gave an address that etcd does not listen on.
    pub(super) fn hint_of_urls(&self) -> String {
        self.client_urls().map_or_else(String::new, |urls| {
            format!(
                ". The members' client URLs are {urls}: use --signer-ip with one of these that \
                 is the leader's"
            )
        })
    }

    /// Has this member's certificate signed.
    ///
    /// # Errors
    /// [`SetupError::Refused`].
    pub(super) fn sign(
        &self,
        request: &str,
        identity: &MemberIdentity,
    ) -> Result<String, SetupError> {
        let options = identity.sign_options();
        let mut command = vec!["etcd-signer", "member", "sign"];
        command.extend(options.iter().map(String::as_str));
        match self.as_root(&command, request.as_bytes()) {
            Ok(certificate) => Ok(certificate),
            Err(why) => refuse!(
                "{} does not sign this member's certificate: {why}",
                self.admin
            ),
        }
    }
}

fn compare(before: i64, theirs: i64) -> Result<(), SetupError> {
    let after = now();
    let skew = if theirs < before {
        before.saturating_sub(theirs)
    } else {
        theirs.saturating_sub(after).max(0)
    };
    if skew > MAX_SKEW {
        refuse!(
            "this host's clock and the leader's differ by {skew} s: correct them first (chrony, \
             systemd-timesyncd)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::setup::clock::now;

    #[test]
    fn clocks_may_differ_by_a_few_seconds() {
        for (difference, fits) in [(0, true), (-4, true), (4, true), (-9, false), (9, false)] {
            let before = now();
            assert_eq!(
                compare(before, before + difference).is_ok(),
                fits,
                "{difference}"
            );
        }
    }
}
