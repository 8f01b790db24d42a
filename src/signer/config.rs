//! The settings: `/etc/etcd-signer/config.toml`. Every key has a default, and limits can only be
//! lowered.

use crate::etcd::endpoint::Endpoint;
use crate::system::settings::{self, SettingsError, SettingsSource, duration};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings file, unless `--config` names another one.
pub(crate) const DEFAULT_PATH: &str = "/etc/etcd-signer/config.toml";

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerConfig {
    /// The CA certificate, PEM.
    pub ca_certificate: PathBuf,
    /// The CA's private key, PEM.
    pub ca_key: PathBuf,
    /// The validity of a certificate: one minute to 24 hours.
    pub validity: Duration,
    /// The largest standard input in bytes: 1024 to 65536.
    pub input_limit: usize,
    /// How long standard input may take to arrive: 1 to 10 seconds.
    pub input_timeout: Duration,
    /// The etcd endpoints that are queried for the member list: one to nine.
    pub etcd_endpoints: Vec<Endpoint>,
    /// How long all of these queries may take together: 1 to 5 seconds.
    pub etcd_timeout: Duration,
    /// Whether to continue if the kernel does not accept a seccomp filter.
    pub allow_without_seccomp: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignerConfig {
    ca_certificate: Option<PathBuf>,
    ca_key: Option<PathBuf>,
    validity: Option<String>,
    input_limit: Option<usize>,
    input_timeout: Option<String>,
    etcd_endpoints: Option<Vec<String>>,
    etcd_timeout: Option<String>,
    allow_without_seccomp: Option<bool>,
}

impl Default for SignerConfig {
    fn default() -> Self {
        Self {
            ca_certificate: PathBuf::from("/etc/etcd/pki/ca.crt"),
            ca_key: PathBuf::from("/etc/etcd/pki/ca.key"),
            validity: MAX_VALIDITY,
            input_limit: MAX_INPUT,
            input_timeout: MAX_INPUT_TIMEOUT,
            etcd_endpoints: vec![Endpoint::LOCAL],
            etcd_timeout: MAX_ETCD_TIMEOUT,
            allow_without_seccomp: false,
        }
    }
}

/// The longest validity of a certificate.
pub(crate) const MAX_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
const MIN_VALIDITY: Duration = Duration::from_secs(60);
const MAX_INPUT: usize = 64 * 1024;
const MIN_INPUT: usize = 1024;
const MAX_INPUT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ETCD_TIMEOUT: Duration = Duration::from_secs(5);
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_ENDPOINTS: usize = 9;

impl SignerConfig {
    /// Loads the settings.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn load(source: &SettingsSource) -> Result<Self, SettingsError> {
        let (raw, path) = settings::load(source, Path::new(DEFAULT_PATH))?;
        Self::from_raw(raw, &path)
    }

    fn from_raw(raw: RawSignerConfig, path: &str) -> Result<Self, SettingsError> {
        let bad = |key, range| SettingsError::Range {
            path: path.to_owned(),
            key,
            range,
        };
        let file = |key, value: Option<PathBuf>, default| match value {
            None => Ok(default),
            Some(value) if value.is_absolute() => Ok(value),
            Some(_) => Err(bad(key, "an absolute path")),
        };
        let duration_in = |key, value: Option<String>, range, (min, max)| match value {
            None => Ok(max),
            Some(value) => duration(&value)
                .filter(|value| (min..=max).contains(value))
                .ok_or_else(|| bad(key, range)),
        };
        let default = Self::default();
        Ok(Self {
            ca_certificate: file("ca_certificate", raw.ca_certificate, default.ca_certificate)?,
            ca_key: file("ca_key", raw.ca_key, default.ca_key)?,
            validity: duration_in(
                "validity",
                raw.validity,
                r#""1m" to "24h""#,
                (MIN_VALIDITY, MAX_VALIDITY),
            )?,
            input_limit: Some(raw.input_limit.unwrap_or(MAX_INPUT))
                .filter(|limit| (MIN_INPUT..=MAX_INPUT).contains(limit))
                .ok_or_else(|| bad("input_limit", "1024 to 65536 bytes"))?,
            input_timeout: duration_in(
                "input_timeout",
                raw.input_timeout,
                r#""1s" to "10s""#,
                (MIN_TIMEOUT, MAX_INPUT_TIMEOUT),
            )?,
            etcd_endpoints: match raw.etcd_endpoints {
                None => default.etcd_endpoints,
                Some(urls) => endpoints(&urls).ok_or_else(|| {
                    bad(
                        "etcd_endpoints",
                        "one to nine URLs like \"https://10.0.0.1:2379\": an IP address \
                         or localhost (no other name is looked up), and the port",
                    )
                })?,
            },
            etcd_timeout: duration_in(
                "etcd_timeout",
                raw.etcd_timeout,
                r#""1s" to "5s""#,
                (MIN_TIMEOUT, MAX_ETCD_TIMEOUT),
            )?,
            allow_without_seccomp: raw
                .allow_without_seccomp
                .unwrap_or(default.allow_without_seccomp),
        })
    }
}

fn endpoints(urls: &[String]) -> Option<Vec<Endpoint>> {
    if urls.is_empty() || urls.len() > MAX_ENDPOINTS {
        return None;
    }
    urls.iter().map(|url| Endpoint::parse(url)).collect()
}

#[cfg(test)]
mod tests {
    use super::SignerConfig;
    use crate::system::settings::from_toml;
    use std::time::Duration;

    fn parse(text: &str) -> Result<SignerConfig, String> {
        let path = "/etc/x.toml";
        from_toml(text.as_bytes(), path)
            .and_then(|raw| SignerConfig::from_raw(raw, path))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn empty_file_has_the_defaults() {
        assert_eq!(parse(""), Ok(SignerConfig::default()));
    }

    #[test]
    fn every_setting_is_read() {
        let config = parse(
            r#"
            ca_certificate = "/a"
            ca_key = "/b"
            validity = "1m"
            input_limit = 1024
            input_timeout = "1s"
            etcd_endpoints = ["https://10.0.0.1:2379", "https://[::1]:2379/"]
            etcd_timeout = "4s"
            allow_without_seccomp = true
            "#,
        )
        .unwrap();
        assert_eq!(config.ca_certificate.to_str(), Some("/a"));
        assert_eq!(config.ca_key.to_str(), Some("/b"));
        assert_eq!(config.validity, Duration::from_secs(60));
        assert_eq!(config.input_limit, 1024);
        assert_eq!(config.input_timeout, Duration::from_secs(1));
        assert_eq!(config.etcd_endpoints.len(), 2);
        assert_eq!(config.etcd_timeout, Duration::from_secs(4));
        assert!(config.allow_without_seccomp);
    }

    #[test]
    fn value_out_of_range_is_rejected() {
        for good in [
            r#"validity = "24h""#,
            r#"validity = "1440m""#,
            r#"validity = "60s""#,
            "input_limit = 65536",
            r#"input_timeout = "10s""#,
            r#"etcd_timeout = "5s""#,
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            r#"validity = "86401s""#,
            r#"validity = "59s""#,
            r#"validity = "24""#,
            r#"validity = "-1h""#,
            r#"validity = """#,
            r#"validity = "99999999999999999999h""#,
            "input_limit = 65537",
            "input_limit = 1023",
            r#"input_timeout = "11s""#,
            r#"input_timeout = "0s""#,
            r#"etcd_timeout = "6s""#,
            r#"ca_key = "ca.key""#,
            "etcd_endpoints = []",
            r#"etcd_endpoints = ["http://127.0.0.1:2379"]"#,
            r#"etcd_endpoints = ["https://a/b"]"#,
            r#"etcd_endpoints = ["https://etcd-1:2379"]"#,
            &format!(
                "etcd_endpoints = [{}]",
                r#""https://10.0.0.1:1","#.repeat(10)
            ),
        ] {
            let key = bad.split(' ').next().unwrap();
            let error = parse(bad).unwrap_err();
            assert!(
                error.starts_with(&format!("settings /etc/x.toml: {key} must be ")),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn unknown_setting_is_rejected() {
        let error = parse("\nvalidty = \"1h\"\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("validty"), "{error}");
    }

    #[test]
    fn private_key_named_as_settings_is_not_quoted() {
        let error = parse("-----BEGIN PRIVATE KEY-----\nMIGHsecret\n").unwrap_err();
        assert!(
            !error.contains("secret") && !error.contains("BEGIN"),
            "{error}"
        );
    }
}
