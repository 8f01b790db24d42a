//! Escaping for messages and log records: printable ASCII, truncated.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How many input bytes [`escape`] shows.
const SHOWN: usize = 80;

/// Escapes bytes of a client for a message or a log record.
///
/// Quotes, backslashes and everything but printable ASCII are escaped, so that no terminal, log
/// reader or shell interprets them. After 80 bytes, the rest is replaced by the length.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    escape_up_to(SHOWN, bytes)
}

/// The same, with another limit than 80 bytes.
#[must_use]
pub(crate) fn escape_up_to(shown: usize, bytes: &[u8]) -> String {
    match bytes.split_at_checked(shown) {
        Some((shown, rest)) if !rest.is_empty() => {
            format!("{}... ({} bytes)", shown.escape_ascii(), bytes.len())
        }
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Escapes a path for a message, without truncating it.
#[must_use]
pub(crate) fn path(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

/// Escapes everything but printable ASCII, so that the text is a single line.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            ' '..='~' => c.to_string(),
            other => other.escape_default().to_string(),
        })
        .collect()
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{escape, hex, one_line, path};
    use std::path::Path;

    #[test]
    fn unprintable_bytes_are_escaped() {
        assert_eq!(escape(b"get-peers "), "get-peers ");
        assert_eq!(escape(b"a\x1b[2J\n\"\xff"), r#"a\x1b[2J\n\"\xff"#);
    }

    #[test]
    fn path_and_line_become_printable() {
        assert_eq!(path(Path::new("/etc/a b\n\u{fc}")), r"/etc/a b\n\xc3\xbc");
        assert_eq!(
            one_line("it's \"so\"\n\x1b[31m \u{fc}"),
            r#"it's "so"\n\u{1b}[31m \u{fc}"#
        );
    }

    #[test]
    fn long_text_is_truncated() {
        assert_eq!(escape(&[b'x'; 80]), "x".repeat(80));
        assert_eq!(
            escape(&[b'x'; 81]),
            format!("{}... (81 bytes)", "x".repeat(80))
        );
    }

    #[test]
    fn hexadecimal_has_two_lower_case_digits_a_byte() {
        assert_eq!(hex(&[0, 0xaf, 9]), "00af09");
    }
}
