//! A run that was interrupted: the next one completes it, or rolls it back.

use super::console::Console;
use super::error::{SetupError, refuse};
use super::etcd_settings;
use super::etcdctl::{installed_client, local_client};
use super::identity::MemberIdentity;
use super::journal::{Entry, Journal};
use super::paths::{CLIENT_ENVIRONMENT, DATA, ENVIRONMENT};
use super::service;
use super::take_back::{Origin, take_back};
use crate::system::environment_file;
use std::fs;
use std::path::Path;

/// What became of the earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It is rolled back: this run begins from nothing.
    TakenBack,
    /// It got as far as an etcd that serves: this run does the rest.
    Finish,
}

/// How long an etcd may take that was started before, in seconds.
const TIME: u64 = 60;

/// Finds out how far the earlier run got. It is not rolled back where its etcd may be in use,
/// unless the operator names the member.
///
/// # Errors
/// [`SetupError::Refused`], if the operator has to decide.
pub(super) fn recover(
    console: &mut Console,
    command: &str,
    identity: &MemberIdentity,
    told: Option<&str>,
) -> Result<Recovery, SetupError> {
    let run = console.journal.run();
    let (earlier_command, earlier_name) = match run {
        Some((command, name)) => (command.to_owned(), name.to_owned()),
        None => (command.to_owned(), identity.name.clone()),
    };
    if let Some(told) = told {
        if told != earlier_name {
            refuse!(
                "--take-back {told}: the interrupted run set up {earlier_name}: nothing is rolled \
                 back"
            );
        }
        return all(console);
    }
    if !console.journal.began_etcd() || !Path::new(ENVIRONMENT).exists() {
        return all(console);
    }
    let by_name = format!(
        "to roll it back instead, with its CA and its data moved aside, run 'etcd-signer-setup \
         {command} --take-back {earlier_name}'"
    );
    if votes(&console.journal) == Some(false) {
        // It only copies what the others have.
        return all(console);
    }
    console.say("an earlier run was interrupted: waiting for the etcd that it has started");
    let client = local_client();
    let started = service::start().and_then(|_| {
        service::wait_for(TIME, || client.health().map_err(|error| error.to_string()))
    });
    if let Err(why) = started {
        if earlier_command == "join" || is_empty(DATA) {
            return all(console);
        }
        refuse!(
            "an earlier {earlier_command} was interrupted, and the etcd that it has started does not \
             become healthy: {why}: its data in {DATA} may belong to a cluster, and is kept: repair \
             it and run this again; {by_name}"
        );
    }
    let settings = fs::read_to_string(ENVIRONMENT).unwrap_or_default();
    let settings = environment_file::parse(&settings);
    let is_same = earlier_command == command
        && settings.get("ETCD_NAME") == Some(&identity.name.as_str())
        && settings.get("ETCD_ADVERTISE_CLIENT_URLS").copied()
            == Some(
                etcd_settings::urls(&identity.addresses, etcd_settings::CLIENT_PORT)
                    .join(",")
                    .as_str(),
            );
    if !is_same {
        refuse!(
            "an earlier {earlier_command} was interrupted when etcd was already healthy, as {} at {}: \
             run it again with the same options to complete it; {by_name}",
            settings.get("ETCD_NAME").unwrap_or(&"?"),
            settings.get("ETCD_ADVERTISE_CLIENT_URLS").unwrap_or(&"?"),
        );
    }
    console.say("etcd is healthy: continuing from there");
    Ok(Recovery::Finish)
}

fn all(console: &mut Console) -> Result<Recovery, SetupError> {
    console.say("an earlier run was interrupted: rolling back what it did");
    take_back(console, Origin::EarlierRun)?;
    Ok(Recovery::TakenBack)
}

fn is_empty(folder: &str) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// Whether the host that joined is a voting member by now. `None` if nobody says.
fn votes(journal: &Journal) -> Option<bool> {
    let peer_urls = journal.entries().iter().find_map(|entry| match entry {
        Entry::Member {
            endpoints,
            peer_urls,
        } => Some((endpoints, peer_urls)),
        _ => None,
    });
    let (endpoints, peer_urls) = peer_urls?;
    if !Path::new(CLIENT_ENVIRONMENT).exists() {
        return None;
    }
    let members = installed_client(endpoints).members().ok()?;
    let urls: Vec<&str> = peer_urls.split(',').collect();
    let own = members.iter().find(|member| member.has_peer_url(&urls));
    Some(own.is_some_and(|own| !own.is_learner && !own.name.is_empty()))
}
