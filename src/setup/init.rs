//! `init`: the first member of a new cluster, and its signer.

use super::cli::InitArgs;
use super::clock::{now, timestamp};
use super::console::Console;
use super::error::{PROGRAM, SetupError, refuse};
use super::etcd_settings::{self, CLIENT_PORT, Cluster, PEER_PORT};
use super::etcdctl::local_client;
use super::host;
use super::identity::{
    MemberIdentity, check_certificate, etcd_account, install, install_pki, new_key, request,
};
use super::journal::Entry;
use super::own_signer;
use super::paths::{
    CA_CERTIFICATE, CA_KEY, CLIENT_ENVIRONMENT, DATA, ENVIRONMENT, ETC, FETCH_TIMER, HOME,
    MEMBER_CERTIFICATE, MEMBER_KEY, PKI, RENEW_TIMER, SERVICE, STATE, UNIT, UNIT_FOLDER,
};
use super::service;
use super::tool::{Call, absolute, ssh, systemctl};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::fingerprint::Fingerprint;
use crate::system::addresses::OwnAddress;
use crate::system::escape::hex;
use crate::system::installed_file;
use crate::system::new_file::{self, FileSystemError};
use crate::system::paths::SETUP_DONE;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fs::{self, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// How long restoring a snapshot may take, in seconds. One of 8 GiB, etcd's suggested maximum, takes
/// minutes on a slow disk.
const RESTORED: u64 = 1800;

/// How long an etcd may take to become healthy, in seconds.
pub(super) const HEALTHY: u64 = 60;

/// Sets this host up, or does the rest of it if an earlier run got as far as a healthy etcd.
///
/// # Errors
/// [`SetupError`]. What was done by then is in the journal.
pub(super) fn init(
    console: &mut Console,
    args: &InitArgs,
    identity: &MemberIdentity,
    addresses: &[OwnAddress],
    resumes: bool,
) -> Result<(), SetupError> {
    let networks = networks(args, addresses)?;
    let address = first(identity)?;
    if !resumes {
        let host = host::check(&identity.addresses)?;
        check_login(&networks)?;
        check_backups(args)?;
        console.begin_log()?;
        begin(console, "init", identity)?;
        stop_untouched(console, &host)?;
        make_ca(console, args)?;
        console.will_undo(Entry::File(MEMBER_CERTIFICATE.into()))?;
        console.will_undo(Entry::File(MEMBER_KEY.into()))?;
        console.step("making this member's key and certificate", || {
            certify(identity)
        })?;
        let token = token()?;
        write_settings(
            console,
            identity,
            &Cluster::New {
                token: token.clone(),
            },
            &etcd_settings::urls(&identity.addresses, CLIENT_PORT),
        )?;
        if let Some(snapshot) = &args.snapshot {
            console.step(
                &format!("restoring etcd's data from {}", snapshot.display()),
                || restore_data(snapshot, identity, &token),
            )?;
        }
        console.will_undo(Entry::Stop(SERVICE.to_owned()))?;
        console.step("starting etcd", service::start)?;
        console.step("waiting until it is healthy", healthy)?;
        if args.snapshot.is_some() {
            let local = local_client();
            console.try_step(
                "disarming the alarms that the snapshot has",
                "run 'etcdctl alarm disarm'",
                || local.disarm_alarms().map_err(|error| error.to_string()),
            )?;
        }
    }
    if console.journal.entries().contains(&Entry::Unlock) {
        // The earlier run got further than the login, which cannot be changed while it is locked.
        console.step("making sshd's drop-in changeable again", || {
            run(Call::new("etcd-signer-lock").args(["unlock"]))
        })?;
    }
    open(console, &networks, address)?;
    console.will_undo(Entry::Unlock)?;
    console.try_step(
        "making the program and sshd's drop-in immutable",
        "until it is, 'etcd-signer check' warns",
        || run(Call::new("etcd-signer-lock").args(["lock"])),
    )?;
    service::timers_on(console, &[RENEW_TIMER, FETCH_TIMER])?;
    console.step("checking this host", checked)?;
    if console.dry_run {
        return Ok(());
    }
    finish(console, "init", identity)?;
    let ca = CaCertificate::load(Path::new(CA_CERTIFICATE), now())
        .map_err(|error| SetupError::Refused(error.to_string()))?;
    console.say("");
    console.say("This host is the first member of the cluster, and its signer.");
    if args.ca_backup.is_none() {
        for line in [
            format!(
                "The CA's key is {CA_KEY}. It is the only copy, and without it no certificate can be"
            ),
            "renewed. Save it now, on a medium that is not this host:".to_owned(),
            "    etcd-signer ca backup /root/etcd-ca.age".to_owned(),
        ] {
            console.say(&line);
        }
    }
    console.say(&format!(
        "Further members: etcd-signer-setup join --signer-ip={address} --ca-fingerprint={}",
        Fingerprint::of(ca.der())
    ));
    Ok(())
}

fn first(identity: &MemberIdentity) -> Result<IpAddr, SetupError> {
    match identity.addresses.first() {
        Some(address) => Ok(*address),
        None => refuse!("this host has no address: give --address"),
    }
}

/// Those that were given, or the ones that this member's addresses are in.
fn networks(args: &InitArgs, addresses: &[OwnAddress]) -> Result<String, SetupError> {
    if let Some(networks) = &args.networks {
        return Ok(networks.clone());
    }
    let own: Vec<String> = addresses.iter().filter_map(OwnAddress::network).collect();
    if own.is_empty() {
        refuse!(
            "cannot determine from its address which networks may use this signer: use --networks"
        );
    }
    Ok(own.join(","))
}

/// Everything that opening the login will need.
fn check_login(networks: &str) -> Result<(), SetupError> {
    let inside = networks
        .split(['/', ','])
        .find_map(|address| address.parse().ok());
    let Some(inside) = inside else {
        refuse!(
            "--networks needs the control plane's networks, such as 10.0.0.0/24,fd00::/64, not \
             {networks}"
        );
    };
    host::check_sshd(&host::sshd(inside)?)?;
    let test = Call::new("etcd-signer-endpoint").args(["test", "--networks", networks]);
    if let Err(error) = test.run() {
        refuse!("the signer's login could not be opened: {error}");
    }
    Ok(())
}

/// The first line of the log and of the journal.
pub(super) fn begin(
    console: &mut Console,
    command: &str,
    identity: &MemberIdentity,
) -> Result<(), SetupError> {
    console.will_undo(Entry::Run {
        command: command.to_owned(),
        name: identity.name.clone(),
    })?;
    if !console.dry_run {
        let addresses: Vec<String> = identity.addresses.iter().map(ToString::to_string).collect();
        console.say(&format!(
            "{} {command}, as {} at {}",
            PROGRAM,
            identity.name,
            addresses.join(" and ")
        ));
    }
    Ok(())
}

/// Stops the etcd that Debian's package has started, which nobody has written to.
pub(super) fn stop_untouched(console: &mut Console, host: &host::Host) -> Result<(), SetupError> {
    if !host.etcd_is_untouched {
        return Ok(());
    }
    console.will_undo(Entry::Start(SERVICE.to_owned()))?;
    console.step(
        "stopping the empty etcd that its package has started",
        || systemctl(&["stop", SERVICE]).map_err(|error| error.to_string()),
    )
}

/// Whether the files to restore from are there, and the snapshot is whole.
fn check_backups(args: &InitArgs) -> Result<(), SetupError> {
    let given = args.ca_backup.iter().chain(&args.identity);
    for file in given.chain(&args.snapshot) {
        if !file.is_file() {
            refuse!("{}: there is no such file", file.display());
        }
    }
    if let Some(snapshot) = &args.snapshot {
        let status = snapshot_tool().args(["snapshot", "status"]);
        if let Err(why) = status.arg(absolute(snapshot)).run() {
            refuse!("--snapshot {}: {why}", snapshot.display());
        }
    }
    Ok(())
}

/// etcd 3.6 has moved what works on files from etcdctl to etcdutl.
fn snapshot_tool() -> Call {
    let is_there = Path::new("/usr/bin/etcdutl").exists();
    let call = Call::new(if is_there { "etcdutl" } else { "etcdctl" });
    call.env("ETCDCTL_API", "3".as_ref())
}

/// Puts the data of a snapshot in the place of the empty folder, as those of a new cluster with this
/// member alone.
fn restore_data(snapshot: &Path, identity: &MemberIdentity, token: &str) -> Result<String, String> {
    let urls = etcd_settings::urls(&identity.addresses, PEER_PORT);
    let cluster: Vec<String> = urls
        .iter()
        .map(|url| format!("{}={url}", identity.name))
        .collect();
    // It makes the folder itself.
    fs::remove_dir(DATA).map_err(|error| format!("{DATA}: {error}"))?;
    let restored = snapshot_tool()
        .args(["snapshot", "restore"])
        .arg(absolute(snapshot))
        .args(["--data-dir", DATA, "--name", &identity.name])
        .args(["--initial-cluster", &cluster.join(",")])
        .args(["--initial-cluster-token", token])
        .args(["--initial-advertise-peer-urls", &urls.join(",")])
        .within(RESTORED);
    let said = run(restored)?;
    run(Call::new("chown").args(["-R", "--no-dereference", "etcd:etcd", DATA]))?;
    Ok(said)
}

fn make_ca(console: &mut Console, args: &InitArgs) -> Result<(), SetupError> {
    for folder in [ETC, PKI] {
        console.will_undo(Entry::Folder(folder.into()))?;
    }
    for file in [CA_CERTIFICATE, CA_KEY] {
        console.will_undo(Entry::File(file.into()))?;
    }
    let what = match &args.ca_backup {
        None => "making the CA".to_owned(),
        Some(backup) => format!("restoring the CA from {}", backup.display()),
    };
    console.step(&what, || {
        match &args.ca_backup {
            None => drop(run(Call::new("etcd-signer").args([
                "ca",
                "init",
                "--directory",
                PKI,
            ]))?),
            Some(backup) => own_signer::restore_ca(backup, &args.identity, Path::new(PKI))
                .map_err(|error| error.to_string())?,
        }
        let Some(signer) = crate::system::account::signer() else {
            return Err("user signer does not exist: install the package etcd-signer".to_owned());
        };
        std::os::unix::fs::chown(CA_KEY, Some(signer.uid), Some(signer.gid))
            .map_err(|error| format!("{CA_KEY}: {error}"))?;
        Ok(String::new())
    })
}

fn certify(identity: &MemberIdentity) -> Result<String, String> {
    let (key, key_pem) = new_key()?;
    let certificate =
        own_signer::sign(identity, &request(&key)?).map_err(|error| error.to_string())?;
    let ca = CaCertificate::load(Path::new(CA_CERTIFICATE), now()).map_err(|e| e.to_string())?;
    check_certificate(certificate.as_bytes(), &key, &ca, identity, now())?;
    install_pki(None, &certificate, &key_pem).map_err(|error| error.to_string())?;
    Ok(String::new())
}

/// A name for the cluster that no other has.
fn token() -> Result<String, SetupError> {
    let mut random = [0_u8; 8];
    match SystemRandom::new().fill(&mut random) {
        Ok(()) => Ok(format!("etcd-signer-{}", hex(&random))),
        Err(_) => refuse!("the system's random number generator failed"),
    }
}

/// Writes the settings of etcd, its unit and etcdctl, and makes the folder for its data.
pub(super) fn write_settings(
    console: &mut Console,
    identity: &MemberIdentity,
    cluster: &Cluster<'_>,
    client_endpoints: &[String],
) -> Result<(), SetupError> {
    console.will_undo(Entry::ReloadUnits)?;
    for file in [ENVIRONMENT, CLIENT_ENVIRONMENT, UNIT] {
        console.will_undo(Entry::File(file.into()))?;
    }
    console.will_undo(Entry::Folder(UNIT_FOLDER.into()))?;
    console.will_undo(Entry::Data(DATA.into()))?;
    let environment = etcd_settings::environment(&identity.name, &identity.addresses, cluster);
    let client = etcd_settings::client_environment(client_endpoints);
    console.step(&format!("writing etcd's settings: {ENVIRONMENT}"), || {
        let write = || -> Result<(), SetupError> {
            let owner = etcd_account()?;
            install(Path::new(ENVIRONMENT), environment.as_bytes(), 0o644, None)?;
            install(
                Path::new(CLIENT_ENVIRONMENT),
                client.as_bytes(),
                0o644,
                None,
            )?;
            new_file::create_directory(Path::new(UNIT_FOLDER))?;
            install(
                Path::new(UNIT),
                etcd_settings::unit().as_bytes(),
                0o644,
                None,
            )?;
            make_folder(Path::new(HOME), 0o755, owner, 0)?;
            make_folder(Path::new(DATA), 0o700, owner, libc::O_NOFOLLOW)?;
            Ok(())
        };
        write().map_err(|error| error.to_string())?;
        systemctl(&["daemon-reload"]).map_err(|error| error.to_string())
    })
}

/// A folder of etcd's. One that is there, as a mount point is, gets its owner and mode. In a folder
/// that belongs to the user etcd, a link would lead root elsewhere.
fn make_folder(
    path: &Path,
    mode: u32,
    owner: (u32, u32),
    links: i32,
) -> Result<(), FileSystemError> {
    let change = || {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => outcome?,
        }
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | links)
            .open(path)?;
        std::os::unix::fs::fchown(&folder, Some(owner.0), Some(owner.1))?;
        folder.set_permissions(fs::Permissions::from_mode(mode))
    };
    change().map_err(FileSystemError::new("making the folder", path))
}

/// Waits until this host's etcd takes part in decisions.
pub(super) fn healthy() -> Result<String, String> {
    let local = local_client();
    service::wait_for(HEALTHY, || {
        local.health().map_err(|error| error.to_string())
    })
}

fn open(console: &mut Console, networks: &str, address: IpAddr) -> Result<(), SetupError> {
    console.will_undo(Entry::Close)?;
    console.step(&format!("opening this signer to {networks}"), || {
        run(Call::new("etcd-signer-endpoint").args(["open", "--networks", networks]))
    })?;
    // As a master would ask, from this host's own address, which the networks need not include.
    let is_inside =
        console.dry_run || host::sshd(address)?.get("permitemptypasswords") == Some("yes");
    if is_inside {
        console.step("asking it for the CA certificate, over ssh", || {
            let sent = ask_login(address, "get-certificate")?;
            let own = fs::read_to_string(CA_CERTIFICATE).map_err(|error| error.to_string())?;
            if sent == own {
                Ok(String::new())
            } else {
                Err(format!(
                    "it did not send the CA certificate, but: {}",
                    sent.trim()
                ))
            }
        })?;
        console.step("asking it for the members", || {
            let sent = ask_login(address, "get-peers")?;
            let own = etcd_settings::urls(&[address], CLIENT_PORT).join("\n");
            if sent.lines().any(|line| line == own) {
                Ok(sent)
            } else {
                Err(format!("expected {own}, but it answered: {}", sent.trim()))
            }
        })?;
    } else {
        console
            .say("this host's own address is in none of these networks: the login was not tried");
    }
    Ok(())
}

fn ask_login(address: IpAddr, command: &str) -> Result<String, String> {
    let port = host::port(&host::sshd(address).map_err(|error| error.to_string())?);
    let ssh = ssh(&[
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "IdentityFile=none",
        "ConnectTimeout=10",
    ])
    .args(["-F", "none", "-p", &port.to_string()])
    .args(["--", &format!("signer@{address}"), command]);
    run(ssh)
}

fn checked() -> Result<String, String> {
    // A warning (exit code 1) is for the operator to read, and no reason to stop.
    match Call::new("etcd-signer").args(["check"]).within(120).run() {
        Ok(text) => Ok(text),
        Err(super::tool::ToolError::Failed {
            code: Some(1),
            stdout,
            ..
        }) => Ok(stdout),
        Err(super::tool::ToolError::Failed { stdout, .. }) if !stdout.is_empty() => {
            let failed: Vec<&str> = stdout
                .lines()
                .filter(|line| line.starts_with("FAIL"))
                .collect();
            Err(failed.join("; "))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Runs a program, and keeps its words.
pub(super) fn run(call: Call) -> Result<String, String> {
    call.run().map_err(|error| error.to_string())
}

/// This host is set up: nothing of it is taken back any more, and nothing is done twice.
pub(super) fn finish(
    console: &mut Console,
    command: &str,
    identity: &MemberIdentity,
) -> Result<(), SetupError> {
    let done = format!("{command} on {}, as {}\n", timestamp(), identity.name);
    let path = Path::new(SETUP_DONE);
    new_file::create_directory(Path::new(STATE))?;
    installed_file::replace(path, done.as_bytes(), 0o644)?;
    Ok(console.journal.close()?)
}
