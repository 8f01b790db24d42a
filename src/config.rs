//! The settings: `/etc/etcd-signer/config.toml`, every key with a default, limits only downward.

use crate::endpoint::Endpoint;
use crate::escape::{self, escape};
use crate::trusted::{FileError, Protection, TrustedFile};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the settings are, unless `--config` names another file.
pub const DEFAULT_PATH: &str = "/etc/etcd-signer/config.toml";

/// The largest settings file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The CA certificate, PEM.
    pub ca_certificate: PathBuf,
    /// The CA's private key, PEM.
    pub ca_key: PathBuf,
    /// How long a certificate is valid in all: one minute to 24 hours.
    pub validity: Duration,
    /// The most bytes of standard input that are taken: 1024 to 65536.
    pub input_limit: usize,
    /// How long standard input may take to arrive: 1 to 10 seconds.
    pub input_timeout: Duration,
    /// The etcd endpoints that are asked for the member list: one to nine.
    pub etcd_endpoints: Vec<Endpoint>,
    /// How long asking them may take in all: 1 to 5 seconds.
    pub etcd_timeout: Duration,
    /// Whether to serve on a kernel that takes no seccomp filter.
    pub allow_without_seccomp: bool,
}

/// Which settings file is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default path; if there is no such file, the defaults hold.
    Default,
    /// A file that the command line names, and that must be there.
    File(PathBuf),
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not the TOML that was expected.
    #[error("settings {path}: {position}{reason}")]
    Syntax {
        /// The settings file.
        path: String,
        /// `line N: `, where the parser knows it.
        position: String,
        /// What the parser said, cut short.
        reason: String,
    },
    /// A value outside of its range.
    #[error("settings {path}: {key} must be {range}")]
    Range {
        /// The settings file.
        path: String,
        /// The key.
        key: &'static str,
        /// What it may be, in words.
        range: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    ca_certificate: Option<PathBuf>,
    ca_key: Option<PathBuf>,
    validity: Option<String>,
    input_limit: Option<usize>,
    input_timeout: Option<String>,
    etcd_endpoints: Option<Vec<String>>,
    etcd_timeout: Option<String>,
    allow_without_seccomp: Option<bool>,
}

impl Default for Config {
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

/// The longest validity that a certificate may have.
pub const MAX_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
const MIN_VALIDITY: Duration = Duration::from_secs(60);
const MAX_INPUT: usize = 64 * 1024;
const MIN_INPUT: usize = 1024;
const MAX_INPUT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ETCD_TIMEOUT: Duration = Duration::from_secs(5);
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_ENDPOINTS: usize = 9;

impl Config {
    /// Loads the settings.
    ///
    /// # Errors
    /// [`ConfigError`]: the file is missing though it was named, is not protected, has an
    /// unknown key, or a value out of its range.
    pub fn load(source: &Source) -> Result<Self, ConfigError> {
        let path = match source {
            Source::Default => Path::new(DEFAULT_PATH),
            Source::File(path) => path,
        };
        let file = match TrustedFile::open("settings", path, Protection::Public) {
            // A link that leads nowhere is not the same as nothing.
            Err(FileError::Missing { .. })
                if *source == Source::Default && path.symlink_metadata().is_err() =>
            {
                return Ok(Self::default());
            }
            opened => opened?,
        };
        let bytes = file.read(SIZE_LIMIT)?;
        Self::parse(&bytes, &escape::path(path))
    }

    fn parse(bytes: &[u8], path: &str) -> Result<Self, ConfigError> {
        let raw: Raw = from_toml(bytes, path)?;
        let bad = |key, range| ConfigError::Range {
            path: path.to_owned(),
            key,
            range,
        };
        let file = |key, value: Option<PathBuf>, default| match value {
            None => Ok(default),
            Some(value) if value.is_absolute() => Ok(value),
            Some(_) => Err(bad(key, "an absolute path")),
        };
        let period = |key, value: Option<String>, range, (min, max)| match value {
            None => Ok(max),
            Some(value) => duration(&value)
                .filter(|value| (min..=max).contains(value))
                .ok_or_else(|| bad(key, range)),
        };
        let default = Self::default();
        Ok(Self {
            ca_certificate: file("ca_certificate", raw.ca_certificate, default.ca_certificate)?,
            ca_key: file("ca_key", raw.ca_key, default.ca_key)?,
            validity: period(
                "validity",
                raw.validity,
                r#""1m" to "24h""#,
                (MIN_VALIDITY, MAX_VALIDITY),
            )?,
            input_limit: Some(raw.input_limit.unwrap_or(MAX_INPUT))
                .filter(|limit| (MIN_INPUT..=MAX_INPUT).contains(limit))
                .ok_or_else(|| bad("input_limit", "1024 to 65536 bytes"))?,
            input_timeout: period(
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
            etcd_timeout: period(
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

/// Takes settings as TOML.
///
/// The parser's own report quotes the file; should somebody name a key file as the settings,
/// that must not be shown. Its message and the line's number are enough.
///
/// # Errors
/// [`ConfigError::Syntax`].
pub(crate) fn from_toml<T: DeserializeOwned>(bytes: &[u8], path: &str) -> Result<T, ConfigError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::Syntax {
        path: path.to_owned(),
        position: String::new(),
        reason: "it is not UTF-8 text".to_owned(),
    })?;
    toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        position: error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or_else(String::new, |before| {
                format!("line {}: ", before.split('\n').count())
            }),
        reason: escape(error.message().as_bytes()),
    })
}

/// A whole number and one unit: `45s`, `10m`, `24h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_secs(seconds))
}

fn endpoints(urls: &[String]) -> Option<Vec<Endpoint>> {
    if urls.is_empty() || urls.len() > MAX_ENDPOINTS {
        return None;
    }
    urls.iter().map(|url| Endpoint::parse(url)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Config, duration};
    use std::time::Duration;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text.as_bytes(), "/etc/x.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_the_defaults() {
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn everything_can_be_set() {
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
    fn ranges_hold_at_their_edges() {
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
    fn an_unknown_key_is_named_with_its_line() {
        let error = parse("\nvalidty = \"1h\"\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("validty"), "{error}");
    }

    #[test]
    fn a_file_of_another_kind_is_not_quoted() {
        let error = parse("-----BEGIN PRIVATE KEY-----\nMIGHsecret\n").unwrap_err();
        assert!(
            !error.contains("secret") && !error.contains("BEGIN"),
            "{error}"
        );
    }

    #[test]
    fn durations_are_one_number_and_one_unit() {
        assert_eq!(duration("90m"), Some(Duration::from_secs(5400)));
        for bad in ["", "h", "1", "1d", "+1h", "1 h", "1h30m", "1é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
