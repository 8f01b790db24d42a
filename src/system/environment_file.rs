//! Files of variables, as systemd reads them for a unit (`EnvironmentFile=`, systemd.exec(5)), as far
//! as etcd's settings need it.

use std::collections::BTreeMap;

/// The variables by their names. The last line of a name counts, and quotes are none of its value.
pub(crate) fn parse(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, value.trim_matches(['"', '\''])))
        .collect()
}

/// The parts of a variable that is a list with commas. None if there is no such variable.
pub(crate) fn list(variables: &BTreeMap<&str, &str>, name: &str) -> Vec<String> {
    let value = variables.get(name).copied().unwrap_or_default();
    value
        .split(',')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{list, parse};

    #[test]
    fn last_line_counts_without_its_quotes() {
        let variables = parse("# A=0\nA=1\n  A=\"2,,3\"\nB='x=y'\nnothing\n");
        assert_eq!(variables.get("A"), Some(&"2,,3"));
        assert_eq!(variables.get("B"), Some(&"x=y"));
        assert_eq!(variables.len(), 2);
        assert_eq!(list(&variables, "A"), ["2", "3"]);
        assert!(list(&variables, "C").is_empty());
    }
}
