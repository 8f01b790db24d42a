//! The etcd processes of this host: where they listen, and where their settings are from.

use crate::system::sockets;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The name of etcd's executable, in every distribution and image.
const EXECUTABLE: &[u8] = b"etcd";

/// The first arguments that make etcd something else than a member.
const PROXIES: &[&str] = &["gateway", "grpc-proxy"];

/// A running etcd.
pub(crate) struct EtcdProcess {
    pub(crate) pid: u32,
    folder: PathBuf,
}

/// Where etcd has its settings from. Given a file, it ignores its flags and its environment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SettingsOrigin {
    /// `--config-file`, or `ETCD_CONFIG_FILE`.
    File(String),
    /// By the names of the flags, without hyphens in front.
    FlagsAndEnvironment(BTreeMap<String, String>),
    /// It is a proxy or a gateway (`etcd grpc-proxy start`), which has flags of its own, and no
    /// peers.
    Proxy,
}

/// Every process whose executable is called etcd. gRPC proxies and gateways are among them:
/// they are ways to the same data.
pub(crate) fn running() -> Vec<EtcdProcess> {
    let mut found: Vec<EtcdProcess> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path();
            is_etcd(&folder).then_some(EtcdProcess { pid, folder })
        })
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn is_etcd(folder: &Path) -> bool {
    // The link belongs to root where the process does; the name is anybody's to read. A package's
    // upgrade removes the file under a running etcd.
    let Ok(executable) = fs::read_link(folder.join("exe")) else {
        return fs::read(folder.join("comm")).is_ok_and(|name| name.trim_ascii_end() == EXECUTABLE);
    };
    let path = executable.as_os_str().as_bytes();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next() == Some(EXECUTABLE)
}

impl EtcdProcess {
    /// The TCP sockets on which it listens.
    ///
    /// # Errors
    /// Only root may look at the descriptors of another user's process.
    pub(crate) fn listening(&self) -> io::Result<Vec<SocketAddr>> {
        let inodes = sockets::inodes(&self.folder)?;
        let found: BTreeSet<SocketAddr> = sockets::listening(&self.folder)
            .into_iter()
            .filter(|socket| inodes.contains(&socket.inode))
            .map(|socket| socket.address)
            .collect();
        Ok(found.into_iter().collect())
    }

    /// Its network namespace, if that is another than ours.
    ///
    /// # Errors
    /// It cannot be told.
    pub(crate) fn other_network(&self) -> io::Result<Option<File>> {
        let theirs = File::open(self.folder.join("ns/net"))?;
        let (own, their) = (fs::metadata("/proc/self/ns/net")?, theirs.metadata()?);
        let is_ours = (own.dev(), own.ino()) == (their.dev(), their.ino());
        Ok((!is_ours).then_some(theirs))
    }

    /// Where its settings are from.
    ///
    /// # Errors
    /// Only root may look at the environment of another user's process.
    pub(crate) fn settings(&self) -> io::Result<SettingsOrigin> {
        let list = |name| -> io::Result<Vec<String>> {
            let bytes = fs::read(self.folder.join(name))?;
            let parts = bytes.split(|byte| *byte == 0);
            Ok(parts
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect())
        };
        Ok(origin(&list("cmdline")?, &list("environ")?))
    }
}

/// As etcd decides it: a flag before the environment, an empty variable is no variable, and the
/// file before everything.
fn origin(arguments: &[String], environment: &[String]) -> SettingsOrigin {
    if matches!(arguments, [_, command, ..] if PROXIES.contains(&command.as_str())) {
        return SettingsOrigin::Proxy;
    }
    let mut settings: BTreeMap<String, String> = environment
        .iter()
        .filter_map(|variable| variable.strip_prefix("ETCD_")?.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            (
                name.to_ascii_lowercase().replace('_', "-"),
                value.to_owned(),
            )
        })
        .collect();
    let environments_file = settings.get("config-file").cloned();
    settings.extend(flags(arguments));
    let file = settings.get("config-file").filter(|file| !file.is_empty());
    match file.or(environments_file.as_ref()) {
        Some(file) => SettingsOrigin::File(file.clone()),
        None => SettingsOrigin::FlagsAndEnvironment(settings),
    }
}

/// As Go's package flag reads them: one or two hyphens, `=` or the next argument. Which flags
/// are boolean, and take no next argument, is not known here; but what follows those in the
/// arguments of an etcd that runs is always another flag.
fn flags(arguments: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = arguments.iter().skip(1).peekable();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix('-') else {
            continue;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let next = rest.next_if(|next| !next.starts_with('-') && !next.is_empty());
                (flag, next.map_or_else(|| "true".to_owned(), Clone::clone))
            }
        };
        found.push((name.to_owned(), value));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{SettingsOrigin, origin};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn flags_come_before_the_environment() {
        let arguments = words(
            "etcd --client-cert-auth --peer-cert-allowed-cn etcd-member \
             -peer-client-cert-auth=false --name=a --name=b",
        );
        let environment = words("PATH=/bin ETCD_NAME=c ETCD_DATA_DIR=/x ETCD_EMPTY=");
        let expected = [
            ("client-cert-auth", "true"),
            ("data-dir", "/x"),
            ("name", "b"),
            ("peer-cert-allowed-cn", "etcd-member"),
            ("peer-client-cert-auth", "false"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            origin(&arguments, &environment),
            SettingsOrigin::FlagsAndEnvironment(expected.into())
        );
    }

    #[test]
    fn settings_file_takes_the_place_of_flags_and_environment() {
        let file = |path: &str| SettingsOrigin::File(path.to_owned());
        for (arguments, environment, expected) in [
            ("etcd --config-file /a --client-cert-auth", "", "/a"),
            ("etcd -config-file=/a", "ETCD_CONFIG_FILE=/b", "/a"),
            ("etcd --name=x", "ETCD_CONFIG_FILE=/b", "/b"),
            ("etcd --config-file=", "ETCD_CONFIG_FILE=/b", "/b"),
        ] {
            assert_eq!(
                origin(&words(arguments), &words(environment)),
                file(expected),
                "{arguments} {environment}"
            );
        }
    }

    #[test]
    fn proxy_has_no_settings_of_a_member() {
        let arguments = words("etcd grpc-proxy start --listen-addr 127.0.0.1:1");
        assert_eq!(origin(&arguments, &[]), SettingsOrigin::Proxy);
    }
}
