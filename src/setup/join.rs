//! `join`: a further member of a cluster, as a learner first, which costs no quorum.

use super::cli::JoinArgs;
use super::clock::now;
use super::console::Console;
use super::error::{SetupError, refuse};
use super::etcd_settings::{self, CLIENT_PORT, PEER_PORT};
use super::etcdctl::{Cluster, Member, installed_client, local_client};
use super::host;
use super::identity::{
    MemberIdentity, WorkFolder, check_certificate, install, install_pki, new_key, request,
};
use super::init::{begin, finish, healthy, run, stop_untouched, write_settings};
use super::journal::Entry;
use super::leader::Leader;
use super::paths::{
    CA_CERTIFICATE, ETC, FETCH_TIMER, MEMBER_CERTIFICATE, MEMBER_KEY, PENDING, PENDING_KEY, PKI,
    SERVICE,
};
use super::service;
use super::tool::Call;
use crate::etcd::identity::Identity;
use crate::etcd::is_member_url;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::member_certificate::MemberCertificate;
use crate::pki::private_key::PrivateKey;
use crate::system::escape::escape;
use crate::system::{installed_file, new_file};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a learner may take to catch up, in seconds.
const CAUGHT_UP: u64 = 300;

/// How long a member may take until the others know it as started, in seconds.
const STARTED: u64 = 60;

/// How often a cluster that takes one change at a time, and none in its first seconds, is asked.
const TRIES: u32 = 10;

/// What a member is installed from.
struct Certified {
    ca: CaCertificate,
    key: PrivateKey,
    key_pem: Zeroizing<String>,
    certificate: String,
}

/// Sets this host up, or does the rest of it if an earlier run got as far as a healthy etcd.
///
/// # Errors
/// [`SetupError`]. What was done by then is in the journal.
pub(super) fn join(
    console: &mut Console,
    args: &JoinArgs,
    identity: &MemberIdentity,
    agent: Option<&OsString>,
    resumes: bool,
) -> Result<(), SetupError> {
    if resumes {
        service::timers_on(console, &[FETCH_TIMER])?;
        return report(console, identity);
    }
    let host = host::check(&identity.addresses)?;
    let work = WorkFolder::create(console.dry_run)?;
    console.begin_log()?;
    let leader = Leader::new(args.signer_ip, args.ssh_port, args.admin.as_ref(), agent);
    let ca = leader.ca(args.ca_fingerprint.as_ref(), |line| console.say(line))?;
    let Some(certified) = certify(console, args, identity, &leader, ca)? else {
        return Ok(());
    };
    let cluster = cluster_before(args, &work, &certified)?;
    let seen = inspect(&cluster, identity, &leader)?;
    let peer_urls = etcd_settings::urls(&identity.addresses, PEER_PORT);

    begin(console, "join", identity)?;
    stop_untouched(console, &host)?;
    for folder in [ETC, PKI] {
        console.will_undo(Entry::Folder(folder.into()))?;
    }
    for file in [CA_CERTIFICATE, MEMBER_CERTIFICATE, MEMBER_KEY] {
        console.will_undo(Entry::File(file.into()))?;
    }
    console.step(&format!("installing the certificates in {PKI}"), || {
        let ca = certified.ca.pem();
        install_pki(Some(&ca), &certified.certificate, &certified.key_pem)
            .map(|()| String::new())
            .map_err(|error| error.to_string())
    })?;
    let own_urls = etcd_settings::urls(&identity.addresses, CLIENT_PORT);
    let initial = etcd_settings::Cluster::Existing {
        initial: &seen.initial,
    };
    let endpoints = [own_urls, seen.endpoints.clone()].concat();
    write_settings(console, identity, &initial, &endpoints)?;
    console.will_undo(Entry::Stop(SERVICE.to_owned()))?;
    let members = seen.endpoints.join(",");
    // Taken back before etcd is stopped: should it vote by then, it has to, to be voted off.
    console.will_undo(Entry::Member {
        endpoints: members.clone(),
        peer_urls: peer_urls.join(","),
    })?;
    let others = installed_client(&members);
    console.step("adding this host to the cluster, as a learner", || {
        add_learner(&others, identity, &peer_urls)
    })?;
    console.step("starting etcd", service::start)?;
    console.step("waiting until the others know it as started", || {
        service::wait_for(STARTED, || match own(&others, &peer_urls)? {
            Some(own) if own.name == identity.name => Ok(()),
            _ => Err("the others do not know it as started".to_owned()),
        })
    })?;
    console.step("promoting it, once it has caught up", || {
        service::wait_for(CAUGHT_UP, || promote(&others, &peer_urls))
    })?;
    console.step("waiting until it is healthy", healthy)?;
    // A host that was a signer once: it would refuse every master that asks it.
    console.try_step(
        "closing the signer's login, as this host has no CA key",
        "run 'etcd-signer-endpoint close'",
        || run(Call::new("etcd-signer-endpoint").args(["close"])),
    )?;
    service::timers_on(console, &[FETCH_TIMER])?;
    if console.dry_run {
        return Ok(());
    }
    report(console, identity)
}

/// This member's key and the certificate for it. `None` if this was the step that only writes the
/// request, or a dry run that ends here.
fn certify(
    console: &mut Console,
    args: &JoinArgs,
    identity: &MemberIdentity,
    leader: &Leader<'_>,
    ca: CaCertificate,
) -> Result<Option<Certified>, SetupError> {
    let certified = if let Some(path) = &args.certificate {
        let pending = fs::read(PENDING_KEY).map(Zeroizing::new);
        let Ok(pending) = pending else {
            refuse!("there is no request waiting for a certificate: use --csr-out to create one");
        };
        let key_pem = Zeroizing::new(String::from_utf8_lossy(&pending).into_owned());
        let key = match PrivateKey::from_pem(&pending, None) {
            Ok(key) => key,
            Err(why) => refuse!("{PENDING_KEY}: {why}"),
        };
        let certificate = match fs::read_to_string(path) {
            Ok(certificate) => certificate,
            Err(why) => refuse!("--certificate {}: {why}", path.display()),
        };
        Certified {
            ca,
            key,
            key_pem,
            certificate,
        }
    } else {
        if args.csr_out.is_none() {
            leader.compare_clock_of_shell()?;
        }
        let (key, key_pem) = new_key().map_err(SetupError::Refused)?;
        let request = request(&key).map_err(SetupError::Refused)?;
        if args.csr_out.is_some() {
            write_request(console, args, identity, &key_pem, &request)?;
            return Ok(None);
        }
        if console.dry_run {
            for step in [
                "have the certificate signed",
                "check the cluster",
                "install the certificates",
                "write etcd's settings",
                "add this host to the cluster as a learner",
                "start etcd",
                "promote it once it has caught up",
            ] {
                console.say(&format!("would: {step}"));
            }
            return Ok(None);
        }
        Certified {
            certificate: leader.sign(&request, identity)?,
            ca,
            key,
            key_pem,
        }
    };
    check_certificate(
        certified.certificate.as_bytes(),
        &certified.key,
        &certified.ca,
        identity,
        now(),
    )
    .map_err(SetupError::Refused)?;
    if args.certificate.is_some() {
        let client = Identity::from_pem(&certified.certificate, &certified.key_pem);
        let Some(client) = client else {
            refuse!("the certificate cannot be parsed: it must be PEM, and may be truncated");
        };
        leader.compare_clock_of_etcd(&certified.ca, &client)?;
    }
    Ok(Some(certified))
}

fn write_request(
    console: &mut Console,
    args: &JoinArgs,
    identity: &MemberIdentity,
    key: &str,
    request: &str,
) -> Result<(), SetupError> {
    let Some(path) = &args.csr_out else {
        return Ok(());
    };
    let shown = path.display();
    if console.dry_run {
        console.say(&format!("would: write the request to {shown}"));
        return Ok(());
    }
    let _ = fs::remove_dir_all(PENDING);
    new_file::create_directory(Path::new(PENDING))?;
    install(Path::new(PENDING_KEY), key.as_bytes(), 0o400, None)?;
    installed_file::replace_regular(path, request.as_bytes(), 0o644)?;
    let addresses: Vec<String> = identity.addresses.iter().map(ToString::to_string).collect();
    let fingerprint = args
        .ca_fingerprint
        .as_ref()
        .map_or_else(String::new, |digits| format!(" --ca-fingerprint={digits}"));
    for line in [
        format!("The request is in {shown}. Have it signed on the leader, as root:"),
        format!(
            "    etcd-signer member sign {} < member.csr > member.crt",
            identity.sign_options().join(" ")
        ),
        format!(
            "Then continue here: etcd-signer-setup join --signer-ip={} --name={} \
             --address={}{fingerprint} --certificate=member.crt",
            args.signer_ip,
            identity.name,
            addresses.join(",")
        ),
    ] {
        console.say(&line);
    }
    Ok(())
}

/// The cluster, asked through the leader with files that are not installed yet.
fn cluster_before(
    args: &JoinArgs,
    work: &WorkFolder,
    certified: &Certified,
) -> Result<Cluster, SetupError> {
    let (ca, certificate, key) = (
        work.path("ca.crt"),
        work.path("member.crt"),
        work.path("member.key"),
    );
    install(&ca, certified.ca.pem().as_bytes(), 0o444, None)?;
    install(&certificate, certified.certificate.as_bytes(), 0o444, None)?;
    install(&key, certified.key_pem.as_bytes(), 0o400, None)?;
    Ok(Cluster {
        endpoints: etcd_settings::urls(&[args.signer_ip], CLIENT_PORT),
        ca,
        certificate,
        key,
    })
}

/// What a member that joins needs to know of the others.
struct Seen {
    /// All client URLs: any member can take this one off the list again.
    endpoints: Vec<String>,
    /// `name=URL` of every peer URL.
    initial: Vec<String>,
}

/// The members that the cluster has: all healthy, and this one is none of them.
fn inspect(
    cluster: &Cluster,
    identity: &MemberIdentity,
    leader: &Leader<'_>,
) -> Result<Seen, SetupError> {
    let members = match cluster.members() {
        Ok(members) => members,
        Err(why) => refuse!(
            "etcd on the leader does not answer: {why}{}",
            leader.hint_of_urls()
        ),
    };
    if let Some(text) = members.iter().find_map(unwritable) {
        refuse!(
            "the cluster lists a member with \"{}\", which cannot be written into etcd's settings: \
             correct that member first",
            escape(text.as_bytes())
        );
    }
    let own_urls = etcd_settings::urls(&identity.addresses, PEER_PORT);
    let is_own = |member: &Member| member.name == identity.name || member.has_peer_url(&own_urls);
    if members.iter().any(is_own) {
        refuse!(
            "the cluster has a member with the name {} or the peer URL {} already. If it is gone \
             for good, run 'etcdctl member remove ID' on the leader",
            identity.name,
            own_urls.join(" or ")
        );
    }
    if members.iter().any(|member| member.is_learner) {
        refuse!("another member is joining (a learner): wait until it has joined");
    }
    if members.iter().any(|member| member.name.is_empty()) {
        refuse!(
            "the cluster has a member that never started: on the leader, run 'etcdctl member list', \
             then 'etcdctl member remove ID'"
        );
    }
    let seen = Seen {
        endpoints: members
            .iter()
            .flat_map(|member| member.client_urls.clone())
            .collect(),
        initial: members
            .iter()
            .flat_map(|member| {
                let urls = member.peer_urls.iter();
                urls.map(|url| format!("{}={url}", member.name))
                    .collect::<Vec<_>>()
            })
            .collect(),
    };
    if let Err(why) = cluster.at(&seen.endpoints).health() {
        refuse!("not every member is healthy; joining now could cost the quorum: {why}");
    }
    Ok(seen)
}

/// A name or URL of a member that is not written into files on this host. etcd itself takes any
/// name, and any text as the query of a URL; a shell reads the settings of etcdctl.
fn unwritable(member: &Member) -> Option<&str> {
    let is_name = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let mut urls = member.peer_urls.iter().chain(&member.client_urls);
    if !is_name(&member.name) {
        return Some(&member.name);
    }
    urls.find(|url| !is_member_url(url)).map(String::as_str)
}

fn own(cluster: &Cluster, peer_urls: &[String]) -> Result<Option<Member>, String> {
    let members = cluster.members().map_err(|error| error.to_string())?;
    Ok(members
        .into_iter()
        .find(|member| member.has_peer_url(peer_urls)))
}

fn add_learner(
    cluster: &Cluster,
    identity: &MemberIdentity,
    peer_urls: &[String],
) -> Result<String, String> {
    let mut why = String::new();
    for _ in 0..TRIES {
        match cluster.add_learner(&identity.name, peer_urls) {
            Ok(()) => return Ok(String::new()),
            Err(error) => why = error.to_string(),
        }
        // Its answer may have been lost on the way.
        if matches!(own(cluster, peer_urls), Ok(Some(_))) {
            return Ok(why);
        }
        sleep(Duration::from_secs(1));
    }
    Err(why)
}

/// An answer that was lost on the way is no reason to ask for ever.
fn promote(cluster: &Cluster, peer_urls: &[String]) -> Result<(), String> {
    match own(cluster, peer_urls)? {
        Some(own) if !own.is_learner => Ok(()),
        Some(own) => cluster.promote(own.id).map_err(|error| error.to_string()),
        None => Err("the cluster does not list this host any more".to_owned()),
    }
}

/// The last words of a run that succeeded.
fn report(console: &mut Console, identity: &MemberIdentity) -> Result<(), SetupError> {
    finish(console, "join", identity)?;
    let _ = fs::remove_dir_all(PENDING);
    let local = local_client();
    let count = local.members().map_or(0, |members| members.len());
    console.say("");
    console.say(&format!(
        "This host is a member of the cluster, which has {count} members."
    ));
    let end = fs::read(MEMBER_CERTIFICATE)
        .ok()
        .and_then(|pem| MemberCertificate::parse(&pem, None))
        .map(|found| found.not_after);
    if let Some(end) = end.and_then(|end| time::OffsetDateTime::from_unix_timestamp(end).ok()) {
        let end = end.format(&time::format_description::well_known::Rfc3339);
        console.say(&format!(
            "Its certificate ends on {}.",
            end.unwrap_or_default()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::unwritable;
    use crate::setup::etcdctl::Member;

    fn member(name: &str, peer: &str, client: &str) -> Member {
        Member {
            id: 1,
            name: name.to_owned(),
            peer_urls: vec![peer.to_owned()],
            client_urls: vec![client.to_owned()],
            is_learner: false,
        }
    }

    #[test]
    fn text_that_would_add_a_setting_is_found() {
        const PEER: &str = "https://[fd00::1]:2380";
        const CLIENT: &str = "https://etcd-1.example.com:2379";
        for name in ["n1", "", "Etcd_1.example.com"] {
            assert_eq!(unwritable(&member(name, PEER, CLIENT)), None, "{name}");
        }
        for name in [
            "a\nETCD_CLIENT_CERT_AUTH=false",
            "a b",
            "a,b",
            "a=b",
            "$(id)",
            "\u{fc}",
            "'",
        ] {
            assert_eq!(unwritable(&member(name, PEER, CLIENT)), Some(name));
        }
        let url = "https://10.0.0.1:2380 x";
        assert_eq!(unwritable(&member("n1", url, CLIENT)), Some(url));
        assert_eq!(unwritable(&member("n1", PEER, url)), Some(url));
        let command = "http://127.0.0.1:2379?;touch</tmp/x";
        assert_eq!(unwritable(&member("n1", PEER, command)), Some(command));
    }
}
