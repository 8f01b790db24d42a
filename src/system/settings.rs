//! What both programs' settings files have in common: TOML that only root or the invoking user
//! can have written, and how durations are spelled.

use crate::system::escape::{self, escape};
use crate::system::trusted_file::{FileError, Protection, TrustedFile};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest settings file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

/// Which settings file is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsSource {
    /// The program's default path; if there is no such file, the defaults apply.
    Default,
    /// A file that the command line names, and that must exist.
    File(PathBuf),
}

impl From<Option<PathBuf>> for SettingsSource {
    fn from(option: Option<PathBuf>) -> Self {
        option.map_or(Self::Default, Self::File)
    }
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
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
        /// What the parser said, truncated.
        reason: String,
    },
    /// A value outside of its range.
    #[error("settings {path}: {key} must be {range}")]
    Range {
        /// The settings file.
        path: String,
        key: &'static str,
        /// What it may be, in words.
        range: &'static str,
    },
}

/// Loads the settings file that is meant, and its path as it is shown in messages.
///
/// # Errors
/// [`SettingsError`]. A default file that does not exist is as good as an empty one.
pub(crate) fn load<T: DeserializeOwned>(
    source: &SettingsSource,
    default: &Path,
) -> Result<(T, String), SettingsError> {
    let path = match source {
        SettingsSource::Default => default,
        SettingsSource::File(path) => path,
    };
    let contents = match TrustedFile::open("settings", path, Protection::Public) {
        // A link that leads nowhere is not the same as nothing.
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

/// Parses settings as TOML.
///
/// The parser's own report quotes the file; should somebody name a key file as the settings,
/// that must not be shown. Its message and the line's number are enough.
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
