//! Makes the man pages and shell completions from the commands as clap knows them.
//!
//!     pages DIR
//!
//! Into `DIR` go the pages, and `NAME.bash`, `_NAME` and `NAME.fish` of each program. The text
//! around names, usage and options is in `packaging/man`.

use clap::Command;
use clap_complete::{Shell, generate_to};
use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1) else {
        return Err(io::Error::other("which folder? usage: pages DIR"));
    };
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    program(
        directory,
        etcd_signer::command_lines::signer(),
        "etcd-signer.8",
    )?;
    let setup = etcd_signer::command_lines::setup();
    program(directory, setup, "etcd-signer-setup.8")?;
    let client = etcd_signer::command_lines::renewer();
    program(directory, client, "etcd-client-cert.8")?;
    for page in [
        "etcd-signer.toml.5",
        "etcd-signer-lock.8",
        "etcd-signer-endpoint.8",
        "etcd-client-cert.toml.5",
    ] {
        fs::write(directory.join(page), text(page)?)?;
    }
    Ok(())
}

/// The page of one program, from `packaging/man/<page>.in`, and its completions.
fn program(directory: &Path, mut command: Command, page: &str) -> io::Result<()> {
    command.build();
    let mut synopsis = String::new();
    let mut commands = String::new();
    describe(&command, &mut synopsis, &mut commands)?;
    let page_text = text(&format!("{page}.in"))?
        .replace("@SYNOPSIS@\n", &synopsis)
        .replace("@COMMANDS@\n", &commands);
    fs::write(directory.join(page), page_text)?;
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, &name, directory)?;
    }
    Ok(())
}

/// A line of synopsis and a section for each command that can be run.
fn describe(command: &Command, synopsis: &mut String, sections: &mut String) -> io::Result<()> {
    for inner in command.get_subcommands() {
        if inner.get_name() == "help" {
            continue;
        }
        describe(inner, synopsis, sections)?;
    }
    if command.is_subcommand_required_set() || command.has_subcommands() {
        return Ok(());
    }
    let name = command
        .get_bin_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let arguments = usage.strip_prefix(&name).unwrap_or(usage).trim();
    let line = format!(".B {}\n{}\n", escape(&name), escape(arguments));
    synopsis.push_str(&format!("{line}.br\n"));
    sections.push_str(&format!(".SS \"{}\"\n", escape(&name)));
    let about = command
        .get_long_about()
        .or(command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    sections.push_str(&format!("{}.\n", escape(about.trim_end_matches('.'))));
    let mut options = Vec::new();
    clap_mangen::Man::new(command.clone()).render_options_section(&mut options)?;
    let options = String::from_utf8(options).map_err(io::Error::other)?;
    sections.push_str(&options.replace(".SH OPTIONS\n", ""));
    Ok(())
}

/// Text as roff shows it: hyphens that can be copied, and no line that is a request.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace("\n.", "\n\\&.")
}

fn text(name: &str) -> io::Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/man")
        .join(name);
    Ok(fs::read_to_string(path)?.replace("@VERSION@", version))
}
