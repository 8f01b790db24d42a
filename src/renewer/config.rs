//! The settings: `/etc/etcd-client-cert/config.toml`, every key with a default.

use super::target::Target;
use crate::pki::fingerprint::Fingerprint;
use crate::pki::master_name::{MasterName, NameError};
use crate::pki::private_key::KeyAlgorithm;
use crate::system::escape::escape;
use crate::system::settings::{self, SettingsError, SettingsSource, duration};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the settings are, unless `--config` names another file.
pub(crate) const DEFAULT_PATH: &str = "/etc/etcd-client-cert/config.toml";

/// The most signers that can be named.
const MAX_SIGNERS: usize = 16;
/// The longest that a period can be set to.
const MAX_PERIOD: Duration = Duration::from_secs(5 * 60);

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewerConfig {
    /// The CA certificate.
    pub ca_certificate: PathBuf,
    /// The client certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The name that the certificate is for.
    pub name: MasterName,
    /// The signers, in the order in which they are asked.
    pub signers: Vec<Target>,
    /// Whether etcd's members are asked too, if none of those issues a certificate.
    pub use_members: bool,
    /// What the CA certificate must be.
    pub ca_fingerprint: Option<Fingerprint>,
    /// The type of key to create if there is none.
    pub key_type: KeyAlgorithm,
    /// The path of ssh(1).
    pub ssh: PathBuf,
    /// A key to log in with.
    pub identity: Option<PathBuf>,
    /// The signers' host keys.
    pub known_hosts: PathBuf,
    /// Whether an unknown host key is accepted and added to `known_hosts`.
    pub accept_new_host_keys: bool,
    /// How long ssh may take to connect.
    pub connect_timeout: Duration,
    /// How long one exchange may take in all.
    pub timeout: Duration,
    /// How often and when a signer that is absent is asked again, in one run.
    pub retries: Retries,
    /// What is run when the certificate has been replaced.
    pub hook: Vec<String>,
    /// How long that may take.
    pub hook_timeout: Duration,
    /// Where the last outcome and the lock are.
    pub state_directory: PathBuf,
    /// Where metrics are written.
    pub metrics: Option<PathBuf>,
}

/// How often, and after which pause, signers that are absent are asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often each is asked at most.
    pub attempts: u32,
    /// The pause before each further attempt; up to as much again is added by chance.
    pub delay: Duration,
}

/// Why the settings, or the name that they imply, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RenewerConfigError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(
        "name: the {from} \"{found}\" is not a valid master name: {cause}: set name in the settings"
    )]
    Name {
        /// Where it comes from.
        from: &'static str,
        /// The name, escaped and truncated.
        found: String,
        cause: NameError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRenewerConfig {
    ca_certificate: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    name: Option<String>,
    signers: Option<Vec<String>>,
    use_members: Option<bool>,
    ca_fingerprint: Option<String>,
    key_type: Option<KeyAlgorithm>,
    ssh: Option<PathBuf>,
    identity: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    accept_new_host_keys: Option<bool>,
    connect_timeout: Option<String>,
    timeout: Option<String>,
    attempts: Option<u32>,
    retry_delay: Option<String>,
    hook: Option<Vec<String>>,
    hook_timeout: Option<String>,
    state_directory: Option<PathBuf>,
    metrics: Option<PathBuf>,
}

impl RenewerConfig {
    /// Loads the settings. The name is the host's, up to the first dot, unless they say another.
    ///
    /// # Errors
    /// The file is missing though it was named, is not protected, has an unknown key, or a value
    /// out of its range; or the host's name is not a master's.
    pub fn load(source: &SettingsSource, host_name: &[u8]) -> Result<Self, RenewerConfigError> {
        let (raw, path) = settings::load(source, Path::new(DEFAULT_PATH))?;
        Self::from_raw(raw, &path, host_name)
    }

    fn from_raw(
        raw: RawRenewerConfig,
        path: &str,
        host_name: &[u8],
    ) -> Result<Self, RenewerConfigError> {
        let bad = |key, range| SettingsError::Range {
            path: path.to_owned(),
            key,
            range,
        };
        let file = |key, value: Option<PathBuf>, default: &str| match value {
            None => Ok(PathBuf::from(default)),
            Some(value) if value.is_absolute() => Ok(value),
            Some(_) => Err(bad(key, "an absolute path")),
        };
        let period = |key, value: Option<String>, default| match value {
            None => Ok(Duration::from_secs(default)),
            Some(value) => duration(&value)
                .filter(|value| (Duration::from_secs(1)..=MAX_PERIOD).contains(value))
                .ok_or_else(|| bad(key, r#""1s" to "5m""#)),
        };
        let metrics = raw.metrics.map(|path| file("metrics", Some(path), ""));
        let signers: Option<Vec<Target>> = raw
            .signers
            .unwrap_or_default()
            .iter()
            .map(|text| Target::parse(text))
            .collect();
        let hook = raw.hook.unwrap_or_default();
        Ok(Self {
            ca_certificate: file(
                "ca_certificate",
                raw.ca_certificate,
                "/etc/kubernetes/pki/etcd/ca.crt",
            )?,
            certificate: file(
                "certificate",
                raw.certificate,
                "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            )?,
            key: file(
                "key",
                raw.key,
                "/etc/kubernetes/pki/apiserver-etcd-client.key",
            )?,
            name: name(raw.name, host_name)?,
            signers: signers
                .filter(|signers| signers.len() <= MAX_SIGNERS)
                .ok_or_else(|| bad("signers", r#"at most 16, each like "signer@leader:22""#))?,
            use_members: raw.use_members.unwrap_or(true),
            ca_fingerprint: match raw.ca_fingerprint {
                None => None,
                Some(text) => Some(Fingerprint::parse(&text).ok_or_else(|| {
                    bad(
                        "ca_fingerprint",
                        "SHA-256 in hexadecimal, as openssl x509 -noout -fingerprint -sha256 \
                         prints it",
                    )
                })?),
            },
            key_type: raw.key_type.unwrap_or_default(),
            ssh: file("ssh", raw.ssh, "/usr/bin/ssh")?,
            identity: match raw.identity {
                None => None,
                Some(path) => Some(for_ssh("identity", path, &bad)?),
            },
            known_hosts: for_ssh(
                "known_hosts",
                raw.known_hosts
                    .unwrap_or_else(|| "/var/lib/etcd-client-cert/known_hosts".into()),
                &bad,
            )?,
            accept_new_host_keys: raw.accept_new_host_keys.unwrap_or(true),
            connect_timeout: period("connect_timeout", raw.connect_timeout, 10)?,
            timeout: period("timeout", raw.timeout, 30)?,
            retries: Retries {
                attempts: Some(raw.attempts.unwrap_or(3))
                    .filter(|attempts| (1..=10).contains(attempts))
                    .ok_or_else(|| bad("attempts", "1 to 10"))?,
                delay: period("retry_delay", raw.retry_delay, 16)?,
            },
            hook: match hook.first() {
                Some(program) if !Path::new(program).is_absolute() => {
                    return Err(bad("hook", "an absolute path and its arguments").into());
                }
                _ => hook,
            },
            hook_timeout: period("hook_timeout", raw.hook_timeout, 60)?,
            state_directory: file(
                "state_directory",
                raw.state_directory,
                "/var/lib/etcd-client-cert",
            )?,
            metrics: metrics.transpose()?,
        })
    }
}

fn name(set: Option<String>, host_name: &[u8]) -> Result<MasterName, RenewerConfigError> {
    let (name, from) = match &set {
        Some(name) => (name.as_bytes(), "name in the settings"),
        None => (
            host_name
                .split(|byte| *byte == b'.')
                .next()
                .unwrap_or_default(),
            "host's name",
        ),
    };
    MasterName::parse(name).map_err(|cause| RenewerConfigError::Name {
        from,
        found: escape(name),
        cause,
    })
}

/// A path in ssh's own options, where a space or a quote would have a meaning.
fn for_ssh(
    key: &'static str,
    path: PathBuf,
    bad: &impl Fn(&'static str, &'static str) -> SettingsError,
) -> Result<PathBuf, SettingsError> {
    let plain = path.to_str().is_some_and(|path| {
        path.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:,".contains(&byte))
    });
    if path.is_absolute() && plain {
        Ok(path)
    } else {
        Err(bad(
            key,
            "an absolute path of letters, digits and / . _ - + @ : ,",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::RenewerConfig;
    use crate::system::settings::from_toml;
    use std::time::Duration;

    fn parse_on(text: &str, host_name: &[u8]) -> Result<RenewerConfig, String> {
        let path = "/etc/x.toml";
        let raw = from_toml(text.as_bytes(), path).map_err(|error| error.to_string())?;
        RenewerConfig::from_raw(raw, path, host_name).map_err(|error| error.to_string())
    }

    fn parse(text: &str) -> Result<RenewerConfig, String> {
        parse_on(text, b"kubemaster-1.example.com")
    }

    #[test]
    fn the_defaults_are_those_of_kubeadm() {
        let config = parse("").unwrap();
        assert_eq!(config.name.as_str(), "kubemaster-1");
        assert_eq!(
            config.certificate.to_str(),
            Some("/etc/kubernetes/pki/apiserver-etcd-client.crt")
        );
        assert_eq!(config.timeout, Duration::from_secs(30));
        assert!(config.signers.is_empty() && config.use_members && config.hook.is_empty());
    }

    #[test]
    fn the_shipped_example_is_taken_and_says_the_defaults() {
        let example = include_str!("../../deploy/etcd-client-cert/config.toml");
        let mut shipped = parse(example).unwrap();
        assert_eq!(shipped.signers.len(), 1, "the one line that must be edited");
        shipped.signers.clear();
        assert_eq!(shipped, parse("").unwrap());
        // What is commented out is a key too, and its value in range.
        let everything: String = example
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
            .zip(example.lines())
            .map(|(commented, line)| format!("{}\n", commented.unwrap_or(line)))
            .collect();
        let everything = parse(&everything).unwrap();
        let default = parse("").unwrap();
        assert!(everything.identity.is_some() && everything.metrics.is_some());
        assert!(everything.ca_fingerprint.is_some() && !everything.hook.is_empty());
        assert_eq!(everything.timeout, default.timeout);
        assert_eq!(everything.known_hosts, default.known_hosts);
        assert_eq!(everything.retries, default.retries);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for bad in [
            r#"certificate = "a.crt""#,
            r#"signers = ["-oProxyCommand=x"]"#,
            r#"ca_fingerprint = "12""#,
            r#"timeout = "0s""#,
            r#"timeout = "6m""#,
            r#"retry_delay = "6m""#,
            "attempts = 0",
            "attempts = 11",
            r#"hook = ["systemctl"]"#,
            r#"known_hosts = "/a b""#,
            r#"known_hosts = "/a\"b""#,
            r#"known_hosts = "/%h""#,
            r#"identity = "~/.ssh/id""#,
        ] {
            let key = bad.split(' ').next().unwrap();
            let error = parse(bad).unwrap_err();
            assert!(
                error.starts_with(&format!("settings /etc/x.toml: {key} must be ")),
                "{bad}: {error}"
            );
        }
        for bad in ["sigers = []", r#"key_type = "rsa2048""#, "[x]"] {
            let error = parse(bad).unwrap_err();
            assert!(
                error.starts_with("settings /etc/x.toml: line 1: "),
                "{error}"
            );
        }
    }

    #[test]
    fn a_host_that_is_no_master_is_told_so() {
        let error = parse_on("", b"node-7").unwrap_err();
        assert!(
            error.starts_with("name: the host's name \"node-7\""),
            "{error}"
        );
        assert!(error.contains("kubemaster-"), "{error}");
        let config = parse_on("name = \"kubemaster-7\"", b"node-7").unwrap();
        assert_eq!(config.name.as_str(), "kubemaster-7");
    }
}
