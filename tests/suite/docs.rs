//! What the pages say about the repository: the tests that docs/SECURITY.md names, and the
//! versions of docs/CHANGELOG.md. What they say about the program is in `pages`.

use regex::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(source(path)).unwrap()
}

/// The tests that `command`, a `cargo test`, runs: of the program's modules and of the suite.
fn tests_run_by(command: &str) -> BTreeSet<String> {
    let list = |options: &[&str]| -> BTreeSet<String> {
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo set for this process would be a reason to build ring anew.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name.as_ref());
            }
        }
        let output = cargo
            .args(command.split(' ').skip(1))
            .args(["--", "--list", "--format=terse"])
            .args(options)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect()
    };
    &list(&[]) - &list(&["--ignored"])
}

/// The names of a script's rows, which are in the files of the folder that is named like it.
fn rows(script: &str) -> BTreeSet<String> {
    let row = Regex::new(r#"(?m)^row "([^"]*)""#).unwrap();
    let folder = source(&format!("tests/suite/sshd/{script}")).with_extension("");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .flat_map(|text| {
            row.captures_iter(&text)
                .map(|found| found[1].to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Whether `names` has this one; `*` at its end stands for any one or more.
fn is_among(names: &BTreeSet<String>, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => names.iter().any(|name| name.starts_with(start)),
        None => names.contains(wanted),
    }
}

#[test]
fn every_test_that_the_security_page_names_is_run() {
    let page = read("docs/SECURITY.md");
    let command = page
        .lines()
        .find_map(|line| {
            line.strip_prefix("    ")
                .filter(|line| line.starts_with("cargo test"))
        })
        .expect("docs/SECURITY.md gives the command that runs the tests");
    let makefile = read("Makefile");
    let recipe = |target: &str| {
        let start = format!("\n{target}: ");
        let (_, recipe) = makefile.split_once(&start)?;
        Some(recipe.split("\n\n").next().unwrap().to_owned())
    };
    assert!(recipe("test").unwrap().ends_with(&format!("\n\t{command}")));
    let tests = tests_run_by(command);
    let started = read("tests/suite/sshd.rs");

    let span = Regex::new("`([^`]+)`").unwrap();
    let (mut named, mut wrong) = (0, Vec::new());
    let tables = page
        .split("\n| defence | shown by |\n| --- | --- |\n")
        .skip(1);
    for line in tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|'))) {
        let shown_by = line.trim_end_matches(" |").rsplit_once(" | ").unwrap().1;
        let names: Vec<&str> = span
            .captures_iter(shown_by)
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        if names.is_empty() {
            wrong.push(format!("no test: {line}"));
        }
        for name in names {
            named += 1;
            let exists = if let Some(target) = name.strip_prefix("make ") {
                recipe(target).is_some()
            } else if let Some((script, row)) = name.split_once(": ") {
                started.contains(&format!("{script:?}")) && is_among(&rows(script), row)
            } else {
                is_among(&tests, name)
            };
            if !exists {
                wrong.push(name.to_owned());
            }
        }
    }
    assert!(named > 50, "the tables were not found: {named} names");
    assert!(wrong.is_empty(), "docs/SECURITY.md: {wrong:#?}");
}

/// `make deb` puts these into the packages.
#[test]
fn debian_changelogs_begin_with_this_version() {
    let trailer = Regex::new(r"(?m)^ -- \S.* <\S+@\S+>  [A-Z][a-z]{2}, \d\d .* \+0000$").unwrap();
    for package in ["etcd-signer", "etcd-client-cert"] {
        let script = source("packaging/changelog.sh");
        let output = Command::new(script).arg(package).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let first = format!("{package} ({version}-1) unstable; urgency=medium\n\n  * ");
        assert!(text.starts_with(&first), "{text}");
        let releases = text.matches(") unstable;").count();
        assert_eq!(trailer.find_iter(&text).count(), releases, "{text}");
        // lintian's limit.
        let mut items = text.lines().filter(|line| !line.starts_with(" -- "));
        assert!(items.all(|line| line.len() <= 80), "{text}");
    }
}
