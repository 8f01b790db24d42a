//! Loading settings files, for both programs: TOML that only root or the invoking user can write.

use crate::system::escape::{self, escape};
use crate::system::trusted_file::{FileError, Protection, TrustedFile};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest settings file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

/// Which settings file to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsSource {
    /// The program's default path; if there is no such file, the defaults apply.
    Default,
    /// A file named on the command line, which must exist.
    File(PathBuf),
}

impl From<Option<PathBuf>> for SettingsSource {
    fn from(option: Option<PathBuf>) -> Self {
        option.map_or(Self::Default, Self::File)
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("settings {path}: {position}{reason}")]
    Syntax {
        path: String,
        /// `line N: `, if the parser knows it.
        position: String,
        /// The message of the parser, escaped and truncated.
        reason: String,
    },
    #[error("settings {path}: {key} must be {range}")]
    Range {
        path: String,
        key: &'static str,
        /// The allowed values, in words.
        range: &'static str,
    },
}

/// Loads the settings. Also returns the path of the file, escaped for messages.
///
/// # Errors
/// [`SettingsError`]. A default file that does not exist counts as empty.
pub(crate) fn load<T: DeserializeOwned>(
    source: &SettingsSource,
    default: &Path,
) -> Result<(T, String), SettingsError> {
    let path = match source {
        SettingsSource::Default => default,
        SettingsSource::File(path) => path,
    };
    let contents = match TrustedFile::open("settings", path, Protection::Public) {
        // A dangling symbolic link is an error.
        Err(FileError::Missing { .. })
            if *source == SettingsSource::Default && path.symlink_metadata().is_err() =>
        {
            Vec::new()
        }
        opened => opened.and_then(|file| file.read(SIZE_LIMIT))?.to_vec(),
    };
    let shown = escape::path(path);
    Ok((from_toml(&contents, &shown)?, shown))
}

/// Parses TOML.
///
/// The full report of the parser would quote the file, which may be a private key that was named by
/// mistake. Its message and the line number are enough.
///
/// # Errors
/// [`SettingsError::Syntax`].
pub(crate) fn from_toml<T: DeserializeOwned>(bytes: &[u8], path: &str) -> Result<T, SettingsError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SettingsError::Syntax {
        path: path.to_owned(),
        position: String::new(),
        reason: "it is not UTF-8 text".to_owned(),
    })?;
    toml::from_str(text).map_err(|error| SettingsError::Syntax {
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

/// Parses an integer followed by one unit, `s`, `m` or `h`: `45s`, `10m`, `24h`.
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

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn duration_is_an_integer_and_one_unit() {
        assert_eq!(duration("90m"), Some(Duration::from_secs(5400)));
        for bad in ["", "h", "1", "1d", "+1h", "1 h", "1h30m", "1é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
