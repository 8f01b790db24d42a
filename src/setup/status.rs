//! `status`: what this host is set up as.

use super::error::{SetupError, refuse};
use super::etcdctl::local_client;
use super::journal::Journal;
use super::paths::{CA_KEY, ENVIRONMENT, LOG};
use crate::system::environment_file;
use crate::system::escape::one_line;
use crate::system::output;
use crate::system::paths::{SETUP_DONE, SETUP_JOURNAL, SETUP_LEAVING};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// What there is to know.
#[derive(Serialize)]
struct SetupStatus {
    /// `init` or `join`, when, and the member's name. Empty if neither has finished.
    set_up: String,
    /// A run that was interrupted: `init`, `join` or `leave`.
    unfinished: Option<String>,
    /// The member's name in etcd's settings.
    name: Option<String>,
    /// Whether the CA key is on this host.
    is_signer: bool,
    /// Why the members are not known.
    error: Option<String>,
    members: Vec<MemberStatus>,
}

#[derive(Serialize)]
struct MemberStatus {
    id: String,
    /// Empty until it has started.
    name: String,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    is_learner: bool,
    is_healthy: bool,
}

/// Prints it.
///
/// # Errors
/// [`SetupError::Refused`] for who is not root: the member's key is etcd's alone.
pub(super) fn status(json: bool) -> Result<ExitCode, SetupError> {
    if !rustix::process::geteuid().is_root() {
        refuse!("this needs root");
    }
    let status = look()?;
    let text = if json {
        serde_json::to_string(&status).unwrap_or_default() + "\n"
    } else {
        status.to_text()
    };
    let _ = output::answer(text.as_bytes());
    Ok(ExitCode::from(u8::from(status.unfinished.is_some())))
}

fn look() -> Result<SetupStatus, SetupError> {
    let journal = Journal::load(Path::new(SETUP_JOURNAL))?;
    let unfinished = if Path::new(SETUP_LEAVING).exists() {
        Some("leave".to_owned())
    } else {
        (!journal.is_empty()).then(|| {
            journal
                .run()
                .map_or("init or join", |(command, _)| command)
                .to_owned()
        })
    };
    let settings = fs::read_to_string(ENVIRONMENT).unwrap_or_default();
    let settings = environment_file::parse(&settings);
    let local = local_client();
    let mut error = None;
    let mut members = Vec::new();
    if settings.contains_key("ETCD_NAME") {
        match local.members() {
            Ok(found) => members = found,
            Err(why) => error = Some(one_line(&why.to_string())),
        }
    }
    Ok(SetupStatus {
        set_up: fs::read_to_string(SETUP_DONE)
            .unwrap_or_default()
            .trim()
            .to_owned(),
        unfinished,
        name: settings.get("ETCD_NAME").map(|name| (*name).to_owned()),
        is_signer: Path::new(CA_KEY).exists(),
        error,
        members: members
            .into_iter()
            .map(|member| MemberStatus {
                id: format!("{:x}", member.id),
                is_healthy: !member.client_urls.is_empty()
                    && local.at(&member.client_urls).health().is_ok(),
                name: member.name,
                peer_urls: member.peer_urls,
                client_urls: member.client_urls,
                is_learner: member.is_learner,
            })
            .collect(),
    })
}

impl SetupStatus {
    fn to_text(&self) -> String {
        let mut text = String::new();
        let set_up = if self.set_up.is_empty() {
            "no"
        } else {
            &self.set_up
        };
        let _ = writeln!(text, "set up:     {set_up}");
        if let Some(command) = &self.unfinished {
            let _ = writeln!(
                text,
                "unfinished: {command} was interrupted: run it again, which completes it or rolls it \
                 back (its log is {LOG})"
            );
        }
        let signer = if self.is_signer {
            "the CA key is on this host"
        } else {
            "no"
        };
        let _ = writeln!(text, "signer:     {signer}");
        let name = self.name.as_deref().unwrap_or("no");
        let _ = writeln!(text, "member:     {name}");
        if let Some(why) = &self.error {
            let _ = writeln!(text, "cluster:    it does not answer: {why}");
        }
        for member in &self.members {
            let role = match (member.name.is_empty(), member.is_learner) {
                (true, _) => "not started",
                (_, true) => "learner",
                _ => "voting",
            };
            let health = if member.is_healthy {
                "healthy"
            } else {
                "NOT HEALTHY"
            };
            let _ = writeln!(
                text,
                "cluster:    {} {} {role}, {health}, {}",
                member.id,
                one_line(&member.name),
                one_line(&member.peer_urls.join(","))
            );
        }
        text
    }
}
