//! The arrows between the rooms of the source tree, by path: which module may name which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A source file: its module path (`pki::ca::key`) and its code, without comments and unit tests.
struct Module {
    path: String,
    code: String,
}

/// The rooms, and the rooms that each may use. `lib` exports, and so may name all of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("system", &[]),
    ("pki", &["system"]),
    ("etcd", &["pki", "system"]),
    ("renewer", &["pki", "system"]),
    ("setup", &["etcd", "pki", "system"]),
    ("signer", &["etcd", "pki", "system"]),
];

/// `(modules, paths)`: modules whose path begins with one of the first name none of the second.
/// A path of one lower-case word without `::` may also be a crate or a function.
const FORBIDDEN: &[(&[&str], &[&str])] = &[
    // The masters' program, and setting up a host, touch no CA key and issue nothing.
    (
        &["renewer", "setup"],
        &[
            "pki::ca::key",
            "pki::ca::bundle",
            "pki::issue",
            "pki::profile",
            "pki::grant",
        ],
    ),
    // The post-issuance check restates the profile with another library.
    (
        &["pki::verify"],
        &["pki::issue", "pki::profile", "pki::ca::key", "rcgen"],
    ),
    // What reads the client's bytes knows nothing of the CA key, nor of what is issued.
    (
        &[
            "pki::csr",
            "pki::fingerprint",
            "pki::master_name",
            "pki::member_host",
            "pki::oid",
            "pki::pem",
            "pki::public_key",
            "pki::strict_der",
            "signer::serve::request",
        ],
        &[
            "pki::ca",
            "pki::grant",
            "pki::issue",
            "pki::private_key",
            "pki::profile",
            "rcgen",
            "signer::config",
        ],
    ),
    // The endpoint certifies masters. Members are the operator's.
    (
        &["signer::serve", "signer::session"],
        &[
            "Grant::member",
            "Grant::renewed_member",
            "Grant::peer_probe",
        ],
    ),
    (
        &[
            "signer::member_fetch",
            "signer::member_renew",
            "signer::member_sign",
            "signer::renewal",
            "signer::successor",
        ],
        &["Grant::master"],
    ),
    // A member holds no CA key, and what it fetches is not issued there.
    (
        &["signer::member_fetch", "signer::successor"],
        &[
            "pki::ca::key",
            "pki::ca::bundle",
            "pki::issue",
            "pki::profile",
            "signer::session::certify",
        ],
    ),
];

/// `(words, owners)`: only these modules name these words.
const OWNERS: &[(&[&str], &[&str])] = &[
    (
        &[
            "env::args",
            "args_os",
            "env::var",
            "var_os",
            "env::vars",
            "vars_os",
        ],
        &["bin"],
    ),
    (
        &["rcgen"],
        &[
            "etcd::identity",
            "pki::issue",
            "pki::private_key",
            "pki::profile",
            "pki::request",
            "renewer::error",
            "signer::ca_init",
        ],
    ),
    (
        &["x509_parser"],
        &[
            "pki::ca::certificate",
            "pki::member_certificate",
            "pki::oid",
            "pki::verify",
            "renewer::leaf",
        ],
    ),
    (&["stdio::stdin"], &["signer::session"]),
    (&["stdio::stdout", "stdio::stderr"], &["system::output"]),
    (&["now_utc"], &["renewer", "setup::clock", "signer"]),
    (&["NamedTempFile", "tempfile"], &["system::new_file"]),
    (
        &["Command::new"],
        &[
            "renewer::renew",
            "renewer::ssh",
            "setup::tool",
            "signer::ca_backup",
            "signer::check",
            "system::child",
            "system::sshd",
        ],
    ),
];

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn modules() -> Vec<Module> {
    let (mut folders, mut found) = (vec![source_folder()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(source_folder()).unwrap();
            let relative = relative.to_str().unwrap().strip_suffix(".rs").unwrap();
            found.push(Module {
                path: relative.replace('/', "::"),
                code: code(&fs::read_to_string(&path).unwrap()),
            });
        }
    }
    assert!(found.len() > 60, "{} modules", found.len());
    found
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether `path` is `prefix` or below it.
fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn regex(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).unwrap()
}

static USE_ITEM: LazyLock<regex::Regex> =
    LazyLock::new(|| regex(r"(?m)^\s*(?:pub(?:\(\w+\))?\s+)?use\s+([\w:{][^;\x22]*);"));
static RENAMED: LazyLock<regex::Regex> = LazyLock::new(|| regex(r"\s+as\s+(\w+)"));
static PATH_IN_CODE: LazyLock<regex::Regex> = LazyLock::new(|| regex(r"\b(\w+)((?:::\w+)+)"));

/// All paths that a module names, whole: `use` trees are unfolded, `super` and `self` resolved,
/// and what stands in the code is followed through the imports.
fn imports(module: &Module, all: &BTreeSet<String>) -> BTreeSet<String> {
    let mut leaves = BTreeSet::new();
    for item in USE_ITEM.captures_iter(&module.code) {
        let tree: String = RENAMED
            .replace_all(&item[1], "@$1")
            .split_whitespace()
            .collect();
        unfold("", &tree, &mut leaves);
    }
    let mut found = BTreeSet::new();
    let mut by_name = BTreeMap::new();
    for leaf in &leaves {
        let (path, alias) = leaf.split_once('@').unwrap_or((leaf, ""));
        let path = resolve(path, &module.path, all);
        let last = path.rsplit("::").next().unwrap_or_default();
        let name = if alias.is_empty() { last } else { alias };
        by_name.insert(name.to_owned(), path.clone());
        found.insert(path);
    }
    for at in PATH_IN_CODE.captures_iter(&module.code) {
        if matches!(&at[1], "crate" | "super") {
            found.insert(resolve(&at[0], &module.path, all));
        } else if let Some(imported) = by_name.get(&at[1]) {
            let path = format!("{imported}{}", &at[2]);
            found.insert(resolve(&path, &module.path, all));
        }
    }
    found
}

fn unfold(prefix: &str, tree: &str, into: &mut BTreeSet<String>) {
    match tree.split_once('{') {
        None => {
            into.insert(format!("{prefix}{}", tree.trim_end_matches("::self")));
        }
        Some((head, rest)) => {
            let inner = rest.strip_suffix('}').unwrap();
            let (mut depth, mut start) = (0, 0);
            for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        let part = &inner[start..at];
                        if part == "self" {
                            into.insert(format!("{prefix}{}", head.trim_end_matches("::")));
                        } else if !part.is_empty() {
                            unfold(&format!("{prefix}{head}"), part, into);
                        }
                        start = at + 1;
                    }
                    _ => {}
                }
            }
        }
    }
}

fn resolve(path: &str, from: &str, all: &BTreeSet<String>) -> String {
    if let Some(rest) = path.strip_prefix("crate::") {
        return rest.to_owned();
    }
    let mut at = from;
    let mut rest = path;
    while let Some(up) = rest.strip_prefix("super::") {
        at = at.rsplit_once("::").map_or("", |(parent, _)| parent);
        rest = up;
    }
    if rest != path {
        return format!("{at}::{rest}").trim_start_matches(':').to_owned();
    }
    // `use cli::X` in the file of a room is a child of that room.
    let child = format!("{from}::{rest}");
    let is_child = all
        .iter()
        .any(|module| is_within(&child, module) && is_within(module, from) && module != from);
    if is_child { child } else { path.to_owned() }
}

/// The modules that a module's imports lead to, within the crate.
fn edges(module: &Module, all: &BTreeSet<String>) -> BTreeSet<String> {
    imports(module, all)
        .iter()
        .filter_map(|path| {
            all.iter()
                .filter(|candidate| is_within(path, candidate))
                .max_by_key(|candidate| candidate.len())
                .cloned()
        })
        .filter(|target| *target != module.path)
        .collect()
}

fn paths(modules: &[Module]) -> BTreeSet<String> {
    modules.iter().map(|module| module.path.clone()).collect()
}

/// A word or a path, as imports and code name it.
struct Name {
    path: &'static str,
    whole: regex::Regex,
}

impl Name {
    fn new(path: &'static str) -> Self {
        let whole = regex(&format!(r"\b{}\b", regex::escape(path)));
        Self { path, whole }
    }

    fn is_in(&self, module: &Module, imports: &BTreeSet<String>) -> bool {
        imports.iter().any(|path| is_within(path, self.path)) || self.whole.is_match(&module.code)
    }
}

#[test]
fn room_uses_only_the_rooms_below_it() {
    let modules = modules();
    let all = paths(&modules);
    let mut wrong = Vec::new();
    for module in &modules {
        let own = module.path.split("::").next().unwrap();
        let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == own) else {
            assert!(
                ["lib", "bin"].contains(&own),
                "{} is in no room",
                module.path
            );
            continue;
        };
        for path in imports(module, &all) {
            let room = path.split("::").next().unwrap_or_default();
            let is_room = ROOMS.iter().any(|(name, _)| *name == room);
            if is_room && room != own && !allowed.contains(&room) {
                wrong.push(format!("{} uses {path}", module.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn forbidden_path_is_named_nowhere() {
    let modules = modules();
    let all = paths(&modules);
    let mut wrong = Vec::new();
    for (subjects, words) in FORBIDDEN {
        let words: Vec<Name> = words.iter().map(|word| Name::new(word)).collect();
        for module in &modules {
            if !subjects
                .iter()
                .any(|subject| is_within(&module.path, subject))
            {
                continue;
            }
            let imports = imports(module, &all);
            for word in &words {
                if word.is_in(module, &imports) {
                    wrong.push(format!("{} names {}", module.path, word.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn word_is_named_by_its_owners_alone() {
    let modules = modules();
    let all = paths(&modules);
    let mut wrong = Vec::new();
    for (words, owners) in OWNERS {
        let words: Vec<Name> = words.iter().map(|word| Name::new(word)).collect();
        for module in &modules {
            let exact = owners.contains(&module.path.as_str());
            let within = owners
                .iter()
                .any(|owner| owner.contains("::") && is_within(&module.path, owner));
            if exact || within || (owners == &["bin"] && is_within(&module.path, "bin")) {
                continue;
            }
            let imports = imports(module, &all);
            for word in &words {
                if word.is_in(module, &imports) {
                    wrong.push(format!("{} names {}", module.path, word.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Two files that need each other, over whatever way, are one thing in two files.
#[test]
fn no_circle_of_files() {
    let modules = modules();
    let all = paths(&modules);
    let mut left: BTreeMap<String, BTreeSet<String>> = modules
        .iter()
        .map(|module| (module.path.clone(), edges(module, &all)))
        .collect();
    assert!(left.values().map(BTreeSet::len).sum::<usize>() > 150);
    // A file without an arrow to one that is left is in no circle.
    loop {
        let done: Vec<String> = left
            .iter()
            .filter(|(_, targets)| targets.iter().all(|target| !left.contains_key(target)))
            .map(|(path, _)| path.clone())
            .collect();
        if done.is_empty() {
            break;
        }
        for path in done {
            left.remove(&path);
        }
    }
    assert!(left.is_empty(), "a circle among {:#?}", left.keys());
}

/// The compiler refuses `unsafe` wherever it is not allowed; this is where it is.
#[test]
fn unsafe_code_is_in_one_module() {
    let code = regex::Regex::new(r"unsafe(_code| *\{| +extern| +fn| +impl)").unwrap();
    let found: Vec<String> = modules()
        .into_iter()
        .filter(|module| code.is_match(&module.code))
        .map(|module| module.path)
        .collect();
    assert_eq!(found, ["system::relro"]);
}
