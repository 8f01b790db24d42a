//! Client bytes made fit to be shown: printable ASCII, and short.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The most input bytes that [`escape`] shows.
const SHOWN: usize = 80;

/// Shows client bytes in a message or a log record.
///
/// Everything but printable ASCII is escaped, as are quotes and backslashes, so that
/// no terminal, log reader or shell is ever given the client's own bytes. What is
/// longer than 80 bytes is cut, and the length said.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    escape_up_to(SHOWN, bytes)
}

/// The same, with room for so many bytes: for a line that says what to do.
#[must_use]
pub(crate) fn escape_up_to(shown: usize, bytes: &[u8]) -> String {
    match bytes.split_at_checked(shown) {
        Some((shown, rest)) if !rest.is_empty() => {
            format!("{}... ({} bytes)", shown.escape_ascii(), bytes.len())
        }
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Shows a path of the operator's, whole.
#[must_use]
pub(crate) fn path(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

/// Makes sure that a text is one line of printable ASCII, whatever is in it.
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
    fn shows_only_printable_ascii() {
        assert_eq!(escape(b"get-peers "), "get-peers ");
        assert_eq!(escape(b"a\x1b[2J\n\"\xff"), r#"a\x1b[2J\n\"\xff"#);
    }

    #[test]
    fn paths_and_lines_are_printable() {
        assert_eq!(path(Path::new("/etc/a b\n\u{fc}")), r"/etc/a b\n\xc3\xbc");
        assert_eq!(
            one_line("it's \"so\"\n\x1b[31m \u{fc}"),
            r#"it's "so"\n\u{1b}[31m \u{fc}"#
        );
    }

    #[test]
    fn cuts_what_is_long() {
        assert_eq!(escape(&[b'x'; 80]), "x".repeat(80));
        assert_eq!(
            escape(&[b'x'; 81]),
            format!("{}... (81 bytes)", "x".repeat(80))
        );
    }

    #[test]
    fn hexadecimal_is_lower_case_and_padded() {
        assert_eq!(hex(&[0, 0xaf, 9]), "00af09");
    }
}
