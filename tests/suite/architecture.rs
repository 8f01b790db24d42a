//! The arrows between the modules: who may use whom.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The modules and crates that a source file names, without its unit tests.
fn uses(module: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(format!("{module}.rs"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let code = text.split("#[cfg(test)]").next().unwrap();
    let path = regex::Regex::new(r"\b(crate::)?(\w+)(::|,|;|\})").unwrap();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            path.captures_iter(line)
                .map(|c| c[2].to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn uses_none_of(module: &str, banned: &[&str]) {
    let found = uses(module);
    for name in banned {
        assert!(!found.contains(*name), "src/{module}.rs uses {name}");
    }
}

fn modules() -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    fs::read_dir(src)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect()
}

/// The compiler refuses `unsafe` wherever it is not allowed; this is where it is.
#[test]
fn one_module_has_unsafe_code() {
    let code = regex::Regex::new(r"unsafe(_code| *\{| +extern| +fn| +impl)").unwrap();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if code.is_match(&fs::read_to_string(&path).unwrap()) {
                found.push(path.strip_prefix(&src).unwrap().to_owned());
            }
        }
    }
    assert_eq!(found, [Path::new("relro.rs")]);
}

#[test]
fn the_second_look_knows_nothing_of_the_first() {
    uses_none_of("verify", &["rcgen", "profile", "issue", "CaKey"]);
}

#[test]
fn what_reads_the_client_knows_nothing_of_the_key() {
    for module in [
        "request", "name", "host", "escape", "exact", "key", "csr", "policy", "input",
    ] {
        uses_none_of(
            module,
            &["CaKey", "CaKeyFile", "issue", "profile", "rcgen", "config"],
        );
    }
}

/// The masters' program shares names, public keys and error habits with the signer, and nothing
/// that touches a CA key or serves a request.
#[test]
fn the_masters_program_touches_no_ca_key() {
    let shared = [
        "ca", "child", "config", "escape", "exact", "key", "name", "output", "program", "relro",
        "trusted",
    ];
    let of_the_crate = regex::Regex::new(r"\bcrate::(\w+|\{)").unwrap();
    let client = client_modules();
    assert!(client.len() > 15, "{client:?}");
    for module in client {
        uses_none_of(&module, &["CaKey", "CaKeyFile", "OwnKey"]);
        let text = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/{module}.rs")),
        )
        .unwrap();
        for used in of_the_crate.captures_iter(text.split("#[cfg(test)]").next().unwrap()) {
            assert!(
                shared.contains(&&used[1]),
                "src/{module}.rs uses {}",
                &used[1]
            );
        }
    }
    for module in modules() {
        if module != "client" && module != "lib" {
            uses_none_of(&module, &["client"]);
        }
    }
}

#[test]
fn in_the_masters_program_each_thing_has_one_owner() {
    for module in client_modules() {
        let module = module.as_str();
        uses_none_of(module, &["args", "args_os", "var", "var_os", "stdin"]);
        if !["client/private_key", "client/csr", "client/error"].contains(&module) {
            uses_none_of(module, &["rcgen"]);
        }
        if module != "client/leaf" {
            uses_none_of(module, &["x509_parser"]);
        }
        if !["client/cli", "client/ssh", "client/renew"].contains(&module) {
            uses_none_of(module, &["Command"]);
        }
        if !["client/store", "client"].contains(&module) {
            uses_none_of(module, &["fs", "tempfile"]);
        }
        if module != "client" {
            uses_none_of(module, &["now_utc"]);
        }
    }
}

fn client_modules() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client");
    let mut found = vec!["client".to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        found.push(format!("client/{}", name.strip_suffix(".rs").unwrap()));
    }
    found
}

#[test]
fn each_thing_has_one_owner() {
    for module in modules() {
        let module = module.as_str();
        if module != "main" {
            uses_none_of(
                module,
                &["args", "args_os", "var", "var_os", "vars", "vars_os"],
            );
        }
        if !["ca_init", "profile", "issue", "identity"].contains(&module) {
            uses_none_of(module, &["rcgen"]);
        }
        if !["key", "csr", "ca", "verify"].contains(&module) {
            uses_none_of(module, &["x509_parser"]);
        }
        if !["serve", "backup", "child"].contains(&module) {
            uses_none_of(module, &["stdin"]);
        }
        if !["output", "backup", "child"].contains(&module) {
            uses_none_of(module, &["stdout", "stderr"]);
        }
    }
}
