//! What is written about the program, held against the program: man pages, shell completions,
//! the settings example.

use crate::harness::Dir;
use etcd_signer::internals::{SettingsSource, SignerConfig};
use regex::Regex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that can be run, and the long options that its help names.
struct Leaf {
    name: String,
    options: BTreeSet<String>,
}

fn long_options(text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(r"(?m)(?:^|[\s,])(--[a-z][a-z-]*)").unwrap();
    pattern
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

/// The programs, and where they are.
fn programs() -> [(&'static str, PathBuf); 2] {
    [
        ("etcd-signer", crate::signer_path()),
        ("etcd-client-cert", crate::client_path()),
    ]
}

/// Asks the program itself, command by command.
fn leaves(name: &str, program: &Path, words: &[String]) -> Vec<Leaf> {
    let output = Command::new(program)
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let Some((_, commands)) = help.split_once("\nCommands:\n") else {
        // Options begin their line; others may be named in the text about them.
        let lines: Vec<&str> = help
            .lines()
            .filter(|line| line.trim_start().starts_with('-'))
            .collect();
        return vec![Leaf {
            name: format!("{name} {}", words.join(" ")),
            options: long_options(&lines.join("\n")),
        }];
    };
    let names = Regex::new(r"(?m)^  ([a-z][a-z-]*)(?: |$)").unwrap();
    let commands = commands.split("\n\n").next().unwrap();
    names
        .captures_iter(commands)
        .map(|found| found[1].to_owned())
        .filter(|word| word != "help")
        .flat_map(|word| leaves(name, program, &[words, &[word]].concat()))
        .collect()
}

/// What `make deb` puts into the package.
pub fn pages() -> Dir {
    let dir = Dir::new();
    let tests = std::env::current_exe().unwrap();
    let example = tests.ancestors().nth(2).unwrap().join("examples/pages");
    let hint = "cargo test --test alone does not build it: cargo build --example pages";
    assert!(example.exists(), "{hint}");
    let made = Command::new(example).arg(dir.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    dir
}

#[test]
fn man_pages_and_help_have_the_same_options() {
    let dir = pages();
    for (name, program) in programs() {
        let page = dir.read(&format!("{name}.8")).replace("\\-", "-");
        let leaves = leaves(name, &program, &[]);
        assert!(leaves.len() >= 2, "the commands in --help");
        let sections: Vec<(&str, &str)> = page
            .split("\n.SS \"")
            .skip(1)
            .map(|section| section.split_once("\"\n").unwrap())
            .map(|(title, text)| (title, text.split("\n.SH ").next().unwrap()))
            .collect();
        let names: Vec<&str> = leaves.iter().map(|leaf| leaf.name.as_str()).collect();
        let titles: Vec<&str> = sections.iter().map(|(title, _)| *title).collect();
        assert_eq!(names, titles);
        for (leaf, (_, text)) in leaves.iter().zip(sections) {
            // The option's own line is bold; others may be named in the text about it.
            let lines: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with("\\fB-"))
                .collect();
            let lines = lines.join("\n").replace("\\fB", " ").replace("\\fR", " ");
            assert_eq!(leaf.options, long_options(&lines), "{}", leaf.name);
            assert!(page.contains(&format!("\n.B {}\n", leaf.name)), "synopsis");
        }
    }
}

#[test]
fn completions_have_every_option() {
    let dir = pages();
    for (name, program) in programs() {
        let leaves = leaves(name, &program, &[]);
        for file in [
            format!("{name}.bash"),
            format!("_{name}"),
            format!("{name}.fish"),
        ] {
            let text = dir.read(&file);
            for (leaf, option) in leaves
                .iter()
                .flat_map(|leaf| leaf.options.iter().map(|option| (&leaf.name, option)))
            {
                let bare = option.trim_start_matches('-');
                let known = text.contains(option) || text.contains(&format!("-l {bare}"));
                assert!(known, "{file}: {leaf} {option}");
            }
        }
    }
}

/// The scripts beside the program: each option and each command of their help is in the page.
#[test]
fn script_man_pages_have_every_option() {
    let option = Regex::new("--[a-z][a-z-]*").unwrap();
    for (script, words) in [
        (
            "etcd-signer-endpoint",
            &["open", "close", "test", "promote", "status"][..],
        ),
        ("etcd-signer-lock", &["lock", "unlock", "status"]),
    ] {
        let program = source("deploy/etcd-signer").join(script);
        let output = Command::new(program).arg("--help").output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        let page = std::fs::read_to_string(source(&format!("packaging/man/{script}.8"))).unwrap();
        let page = page.replace("\\-", "-");
        for found in option.find_iter(&help) {
            assert!(
                page.contains(found.as_str()),
                "{script}: {}",
                found.as_str()
            );
        }
        for word in words {
            assert!(help.contains(word), "{script}: {word}");
            assert!(page.contains(&format!("\n.B {word}\n")), "{script}: {word}");
        }
    }
}

/// groff is strict where man is not: the page has no request that it does not know.
#[test]
fn man_pages_are_well_formed() {
    let dir = pages();
    if !Path::new("/usr/bin/man").exists() {
        return crate::harness::left_out("man pages read by man: it is not installed");
    }
    let read_by_man = |page: &str| {
        let read = Command::new("man")
            .args(["--warnings=w", "--encoding=utf8", "--local-file"])
            .arg(dir.join(page))
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&read.stderr);
        assert!(
            read.status.success() && complaints.is_empty(),
            "{page}: {complaints}"
        );
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(text.contains("DESCRIPTION"), "{page}: {text}");
        text
    };
    for page in [
        "etcd-signer.8",
        "etcd-signer.toml.5",
        "etcd-signer-lock.8",
        "etcd-signer-endpoint.8",
        "etcd-client-cert.8",
    ] {
        let text = read_by_man(page);
        assert!(!text.contains('@'), "{page}: {text}");
    }
    // Signers are named signer@host in this one.
    let text = read_by_man("etcd-client-cert.toml.5");
    assert!(!text.contains("@VERSION@"), "{text}");
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `key = value` of each setting in the example.
fn example_settings() -> Vec<String> {
    let text = std::fs::read_to_string(source("deploy/etcd-signer/config.toml")).unwrap();
    let setting = Regex::new(r"(?m)^#([a-z_]+ = .*)$").unwrap();
    setting
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect()
}

#[test]
fn settings_example_has_every_key_with_its_default() {
    let dir = Dir::new();
    let text = std::fs::read_to_string(source("deploy/etcd-signer/config.toml")).unwrap();
    let as_shipped = dir.write("shipped.toml", text);
    let settings = example_settings();
    let switched_on = dir.write("on.toml", settings.join("\n"));
    for file in [as_shipped, switched_on] {
        assert_eq!(
            SignerConfig::load(&SettingsSource::File(file)).unwrap(),
            SignerConfig::default()
        );
    }

    // The table of docs/INTERFACE.md, which the settings' own tests are written from.
    let interface = std::fs::read_to_string(source("docs/INTERFACE.md")).unwrap();
    let table = interface.split_once("\n## Settings\n").unwrap().1;
    let table = table.split_once("\n## ").unwrap().0;
    let row = Regex::new(r"(?m)^\| `([a-z_]+)` \| `([^`]*)` \|").unwrap();
    let documented: Vec<String> = row
        .captures_iter(table)
        .map(|found| format!("{} = {}", &found[1], &found[2]))
        .collect();
    assert_eq!(settings, documented);
}

#[test]
fn settings_page_has_every_key_with_its_default() {
    let page = std::fs::read_to_string(source("packaging/man/etcd-signer.toml.5")).unwrap();
    let page = page.replace("\\(dq", "\"");
    let setting = Regex::new(r"(?m)^\.B ([a-z_]+ = .*)$").unwrap();
    let described: Vec<String> = setting
        .captures_iter(&page)
        .map(|found| found[1].to_owned())
        .collect();
    assert_eq!(described, example_settings());
}
