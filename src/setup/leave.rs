//! `leave`: out of the cluster, and ready to join again.
//!
//! Until the cluster has removed this host, nothing is lost if a step fails. From then on, there is
//! only the way ahead: how far it got is on disk, and the next run goes on from there.

use super::cli::LeaveArgs;
use super::clock::stamp;
use super::console::Console;
use super::error::{PROGRAM, SetupError, refuse};
use super::etcdctl::{Cluster, Member, installed_client, local_client};
use super::identity::WorkFolder;
use super::init::run;
use super::own_signer;
use super::paths::{
    CA_KEY, CLIENT_ENVIRONMENT, DATA, ENVIRONMENT, ETC, PENDING, PKI, STATE, UNIT, UNIT_FOLDER,
};
use super::service;
use super::take_back::move_aside;
use super::tool::{Call, ToolError, ssh};
use crate::system::environment_file;
use crate::system::escape::escape;
use crate::system::installed_file;
use crate::system::new_file::{self, FileSystemError};
use crate::system::paths::{SETUP_DONE, SETUP_LEAVING};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What an interrupted run needs to continue, in [`SETUP_LEAVING`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leaving {
    name: String,
    peer_urls: Vec<String>,
    /// The client URLs of the others.
    others: Vec<String>,
    /// Where everything is moved to.
    aside: PathBuf,
    /// The cluster does not list this host any more.
    is_removed: bool,
}

impl Leaving {
    /// Whether a member is this host. Its peer URLs may have been changed since it was set up.
    fn is_of(&self, member: &Member) -> bool {
        member.name == self.name || member.has_peer_url(&self.peer_urls)
    }

    fn load() -> Result<Option<Self>, SetupError> {
        let path = Path::new(SETUP_LEAVING);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileSystemError::new("reading", path)(error).into()),
        };
        match serde_json::from_str(&text) {
            Ok(leaving) => Ok(Some(leaving)),
            Err(why) => refuse!("{SETUP_LEAVING} cannot be read ({why}): another version wrote it"),
        }
    }

    fn save(&self) -> Result<(), SetupError> {
        let path = Path::new(SETUP_LEAVING);
        let text = serde_json::to_string(self).unwrap_or_default();
        new_file::create_directory(Path::new(STATE))?;
        Ok(installed_file::replace(path, text.as_bytes(), 0o600)?)
    }
}

/// Takes this host out of its cluster.
///
/// # Errors
/// [`SetupError`]. Refused if it would cost the quorum, or the only copy of the CA.
pub(super) fn leave(console: &mut Console, args: &LeaveArgs) -> Result<ExitCode, SetupError> {
    if !console.journal.is_empty() {
        refuse!(
            "a run of {} was interrupted on this host: run that again first, which completes it or \
             rolls it back",
            console
                .journal
                .run()
                .map_or("init or join", |(command, _)| command)
        );
    }
    let leaving = match Leaving::load()? {
        Some(leaving) => {
            console.begin_log()?;
            console.say("an earlier leave was interrupted: continuing from there");
            if leaving.is_removed {
                leaving
            } else {
                // Others may have joined or failed since.
                Leaving {
                    aside: leaving.aside,
                    ..may_leave(args)?
                }
            }
        }
        None => {
            let leaving = may_leave(args)?;
            console.begin_log()?;
            if !console.dry_run {
                leaving.save()?;
                console.say(&format!("{} leave, as {}", PROGRAM, leaving.name));
            }
            leaving
        }
    };
    if let Err(error) = go(console, leaving) {
        if !console.dry_run {
            console.complain(&error.to_string());
            console.say("what was done is kept: fix the error, and run this again");
            return Ok(error.code());
        }
        return Err(error);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether this host may leave, and what it leaves.
fn may_leave(args: &LeaveArgs) -> Result<Leaving, SetupError> {
    let Ok(settings) = fs::read_to_string(ENVIRONMENT) else {
        refuse!(
            "{ENVIRONMENT} is missing: this host was not set up as a member by etcd-signer-setup"
        );
    };
    let settings = environment_file::parse(&settings);
    let name = settings
        .get("ETCD_NAME")
        .copied()
        .unwrap_or_default()
        .to_owned();
    let peer_urls = environment_file::list(&settings, "ETCD_INITIAL_ADVERTISE_PEER_URLS");
    let own_urls = environment_file::list(&settings, "ETCD_ADVERTISE_CLIENT_URLS");
    if name.is_empty() || peer_urls.is_empty() {
        refuse!(
            "{ENVIRONMENT} has no ETCD_NAME, or no \
             ETCD_INITIAL_ADVERTISE_PEER_URLS: cannot determine which member this host is"
        );
    }
    let members = members(&own_urls)?;
    let is_own = |member: &&Member| member.name == name || member.has_peer_url(&peer_urls);
    let own = members.iter().find(is_own);
    let local = local_client();
    if own.is_none() && local.health().is_ok() {
        refuse!(
            "the cluster lists no member with the name {name} or the peer URLs of {ENVIRONMENT}, and \
             this host's etcd serves: correct that file first (etcdctl member list)"
        );
    }
    let others: Vec<&Member> = members.iter().filter(|member| !is_own(member)).collect();
    if own.is_some() {
        check_quorum(own.is_some_and(|own| !own.is_learner), &others, args)?;
    }
    if Path::new(CA_KEY).exists() {
        check_ca(&others, args)?;
    }
    Ok(Leaving {
        name,
        peer_urls,
        others: others
            .iter()
            .flat_map(|member| member.client_urls.clone())
            .collect(),
        aside: Path::new(STATE).join(format!("left.{}", stamp())),
        is_removed: own.is_none(),
    })
}

/// The members, as another than this one tells them: an etcd that was removed does not know.
fn members(own_urls: &[String]) -> Result<Vec<Member>, SetupError> {
    let client = fs::read_to_string(CLIENT_ENVIRONMENT).unwrap_or_default();
    let client = environment_file::parse(&client);
    let local = local_client();
    let as_told_here = local.members();
    let mut others = environment_file::list(&client, "ETCDCTL_ENDPOINTS");
    if let Ok(members) = &as_told_here {
        others.extend(members.iter().flat_map(|member| member.client_urls.clone()));
    }
    others.retain(|url| !own_urls.contains(url));
    others.sort();
    others.dedup();
    let mut why = String::new();
    for other in &others {
        match local.at(std::slice::from_ref(other)).members() {
            Ok(members) => return Ok(members),
            Err(error) => why = error.to_string(),
        }
    }
    match as_told_here {
        Ok(members) => Ok(members),
        Err(error) => refuse!(
            "no member of the cluster answers (it may have no quorum), so this host cannot be removed: {}",
            if why.is_empty() {
                error.to_string()
            } else {
                why
            }
        ),
    }
}

/// Whether the others can decide without this host.
fn check_quorum(votes: bool, others: &[&Member], args: &LeaveArgs) -> Result<(), SetupError> {
    let voters: Vec<&&Member> = others.iter().filter(|member| !member.is_learner).collect();
    if voters.is_empty() {
        if !args.last_member {
            refuse!(
                "this is the last voting member: the cluster and its data would be lost. If that \
                 is intended, use --last-member"
            );
        }
        return Ok(());
    }
    if !votes {
        return Ok(());
    }
    let healthy = voters
        .iter()
        .filter(|member| {
            let urls = member.client_urls.join(",");
            // One that has never started advertises nothing.
            !urls.is_empty() && installed_client(&urls).health().is_ok()
        })
        .count();
    let needed = quorum(voters.len());
    if healthy < needed {
        refuse!(
            "leaving now would cost the quorum: of the {} other voting members, {healthy} are \
             healthy, and {needed} are needed: bring the others back first",
            voters.len()
        );
    }
    Ok(())
}

/// How many of so many voting members have to agree.
fn quorum(voters: usize) -> usize {
    (voters / 2).saturating_add(1)
}

/// Whether the CA outlives this host as a signer: another signer answers with the same CA, or there
/// is a backup that can be decrypted.
fn check_ca(others: &[&Member], args: &LeaveArgs) -> Result<(), SetupError> {
    let own = fs::read_to_string(super::paths::CA_CERTIFICATE).unwrap_or_default();
    if let Some(backup) = &args.ca_backup {
        return check_backup(backup, args);
    }
    let mut asked = Vec::new();
    for member in others {
        for url in &member.client_urls {
            let host = url.trim_start_matches("https://");
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            // get-peers needs the CA key, which get-certificate does not.
            let ask = |command| ask_signer(host, command);
            if ask("get-peers").is_ok() && ask("get-certificate").is_ok_and(|sent| sent == own) {
                return Ok(());
            }
            asked.push(host.to_owned());
        }
    }
    refuse!(
        "this is the only signer that answers with this CA (asked: {}): make another member a signer \
         first (etcd-signer-endpoint promote), or give a backup, which is then verified: --ca-backup \
         FILE [--identity FILE]",
        if asked.is_empty() {
            "nobody".to_owned()
        } else {
            asked.join(", ")
        }
    )
}

/// Asks another signer, as a master does.
fn ask_signer(host: &str, command: &str) -> Result<String, ToolError> {
    ssh(&[
        "ConnectTimeout=5",
        "StrictHostKeyChecking=accept-new",
        "ControlPath=none",
    ])
    .args(["--", &format!("signer@{host}"), command])
    .run()
}

/// Decrypts a backup, in memory, and compares it with the CA in place.
fn check_backup(backup: &Path, args: &LeaveArgs) -> Result<(), SetupError> {
    let identities = args.identity.as_slice();
    let work = WorkFolder::create(args.dry_run)?;
    let restored = own_signer::restore_ca(backup, identities, &work.path("ca"));
    if let Err(why) = restored {
        refuse!(
            "--ca-backup {}: {why}{}",
            escape(backup.as_os_str().as_encoded_bytes()),
            if identities.is_empty() {
                ". A backup that was made with --recipient needs --identity"
            } else {
                ""
            }
        );
    }
    for file in ["ca.key", "ca.crt"] {
        let saved = fs::read(work.path("ca").join(file)).unwrap_or_default();
        let own = fs::read(Path::new(PKI).join(file)).unwrap_or_default();
        if !is_same_pem(&saved, &own) {
            refuse!(
                "--ca-backup {}: it contains a different {file} than {PKI}: make a new backup (etcd-signer ca \
                 backup)",
                escape(backup.as_os_str().as_encoded_bytes())
            );
        }
    }
    Ok(())
}

/// The same certificate or key, whatever text is around it and wherever its lines end.
fn is_same_pem(one: &[u8], other: &[u8]) -> bool {
    use crate::pki::private_key::PrivateKey;
    let block = |pem: &[u8]| pem::parse(pem).ok();
    let (Some(first), Some(second)) = (block(one), block(other)) else {
        return false;
    };
    if first.contents() == second.contents() {
        return true;
    }
    // A backup has a key as PKCS#8, whatever form its file has.
    let key = |pem| PrivateKey::from_pem(pem, None).ok();
    match (key(one), key(other)) {
        (Some(first), Some(second)) => first.public_key() == second.public_key(),
        _ => false,
    }
}

fn go(console: &mut Console, mut leaving: Leaving) -> Result<(), SetupError> {
    console.try_step(
        "making the program and sshd's drop-in changeable",
        "run 'etcd-signer-lock unlock'",
        || run(Call::new("etcd-signer-lock").args(["unlock"])),
    )?;
    if Path::new(CA_KEY).exists() {
        console.step("closing the signer's login", || {
            run(Call::new("etcd-signer-endpoint").args(["close"]))
        })?;
    }
    service::timers_off(console)?;
    if !leaving.is_removed {
        if !leaving.others.is_empty() {
            console.step("removing this host from the cluster", || remove(&leaving))?;
        }
        leaving.is_removed = true;
        if !console.dry_run {
            leaving.save()?;
        }
    }
    console.step("stopping etcd", service::stop)?;
    let aside = leaving.aside.clone();
    console.step(
        &format!(
            "moving data, settings and certificates to {}",
            aside.display()
        ),
        || put_aside(&aside),
    )?;
    if console.dry_run {
        return Ok(());
    }
    let had_key = fs::read_dir(&aside).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ca.key"))
    });
    fs::remove_file(SETUP_LEAVING)
        .map_err(FileSystemError::new("removing", Path::new(SETUP_LEAVING)))?;
    new_file::sync_directory_of(Path::new(SETUP_LEAVING))?;
    console.say("");
    console.say("This host is out of the cluster. It can join again: etcd-signer-setup join.");
    if had_key {
        console.say(&format!(
            "The CA's key is in {} now: remove it there (shred -u) once it is on another signer or \
             in a backup.",
            aside.display()
        ));
    }
    Ok(())
}

fn remove(leaving: &Leaving) -> Result<String, String> {
    let others = installed_client(&leaving.others.join(","));
    let local = local_client();
    hand_over(&local, &others, leaving);
    let own = |cluster: &Cluster| -> Result<Option<u64>, String> {
        let members = cluster.members().map_err(|error| error.to_string())?;
        Ok(members
            .iter()
            .find(|member| leaving.is_of(member))
            .map(|own| own.id))
    };
    service::wait_for(super::init::HEALTHY, || {
        match own(&others)? {
            None => Ok(()),
            // An answer that was lost on the way shows when the list is read again.
            Some(id) => others.remove(id).map_err(|error| error.to_string()),
        }
    })
}

/// A leader that leaves costs an election; one that hands over first costs nothing.
fn hand_over(local: &Cluster, others: &Cluster, leaving: &Leaving) {
    if !matches!(local.is_leader(), Ok(true)) {
        return;
    }
    let Ok(members) = others.members() else {
        return;
    };
    let successor = members
        .iter()
        .find(|member| !member.is_learner && !leaving.is_of(member));
    if let Some(successor) = successor {
        // Without it, the others elect one.
        let _ = local.move_leader(successor.id);
    }
}

/// Moves everything that made this host a member. What is moved already, is.
fn put_aside(folder: &Path) -> Result<String, String> {
    let mut moved = String::new();
    let mut take = |path: &Path| -> Result<(), String> {
        if path.symlink_metadata().is_ok() {
            let to = move_aside(path, folder).map_err(|error| error.to_string())?;
            moved.push_str(&format!("{} is {} now\n", path.display(), to.display()));
        }
        Ok(())
    };
    let certificates = fs::read_dir(PKI).into_iter().flatten().flatten();
    for entry in certificates {
        take(&entry.path())?;
    }
    for path in [DATA, ENVIRONMENT, CLIENT_ENVIRONMENT, UNIT, SETUP_DONE] {
        take(Path::new(path))?;
    }
    let _ = fs::remove_dir_all(PENDING);
    for empty in [PKI, ETC, UNIT_FOLDER] {
        // One that somebody has put something into stays.
        let _ = fs::remove_dir(empty);
    }
    super::tool::systemctl(&["daemon-reload"]).map_err(|error| error.to_string())?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::{is_same_pem, quorum};

    #[test]
    fn quorum_is_more_than_half() {
        for (voters, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
            assert_eq!(quorum(voters), needed);
        }
    }

    #[test]
    fn certificate_is_compared_by_its_contents() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
        assert!(is_same_pem(
            format!("text\n{pem}").as_bytes(),
            pem.as_bytes()
        ));
        assert!(!is_same_pem(
            pem.replace("AAEC", "AAED").as_bytes(),
            pem.as_bytes()
        ));
        assert!(!is_same_pem(b"", b""));
    }
}
