//! The pages about the program name what it has.

use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn source(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// As the package has it.
fn page(name: &str) -> String {
    crate::pages::pages()
        .read(name)
        .replace("\\-", "-")
        .replace("\\(dq", "\"")
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

#[test]
fn renewers_man_page_and_help_have_the_same_options() {
    let mut help = String::new();
    for words in [&["--help"][..], &["renew", "--help"], &["status", "--help"]] {
        let output = Command::new(crate::client_path())
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        help += &String::from_utf8(output.stdout).unwrap();
    }
    help += " --version";
    let options = found(r"(--[a-z]+)", &help);
    assert!(options.len() > 4, "{options:?}");
    assert_eq!(found(r"(--[a-z]+)", &page("etcd-client-cert.8")), options);
}

/// The example is held against the program by the settings' own tests.
#[test]
fn settings_page_has_every_key_with_its_default() {
    let example = source("deploy/etcd-client-cert/config.toml");
    let page = page("etcd-client-cert.toml.5");
    assert_eq!(
        found(r"(?m)^\.B ([a-z_]+)", &page),
        found(r"(?m)^#?([a-z_]+) = ", &example)
    );
    let defaults = |text: &str, pattern: &str| {
        let mut all = found(pattern, text);
        // The example has a signer, since there has to be one.
        all.retain(|setting| !setting.starts_with("signers"));
        all
    };
    assert_eq!(
        defaults(&page, r"(?m)^\.B ([a-z_]+ = .+)$"),
        defaults(&example, r"(?m)^([a-z_]+ = .+)$")
    );
}

#[test]
fn exit_codes_in_code_and_pages_agree() {
    let of_page = found(r"(?m)^\.B (\d+)$", &page("etcd-client-cert.8"));
    let of_table = found(r"(?m)^\| (\d+) \|", &source("docs/MASTERS.md"));
    let of_code = found(r"=> (\d+),", &source("src/system/exit.rs"));
    assert_eq!(of_table, of_code);
    let status: BTreeSet<String> = ["0", "1", "2"].map(str::to_owned).into();
    assert_eq!(of_page, of_code.union(&status).cloned().collect());
}

/// Each metric in the table is written by the program, and the other way round.
#[test]
fn metrics_in_code_and_pages_agree() {
    let documented = source("docs/MASTERS.md");
    let table = documented.split("(`etcd_client_cert_...`").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows: String = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .map(|names| format!("`{names}\n"))
        .collect();
    let written = found(
        r#"gauge\(\s*"([a-z_]+)""#,
        &source("src/renewer/metrics.rs"),
    );
    assert_eq!(found("`([a-z_]+)`", &rows), written);
}
