//! The command line. The forms that sshd uses are recognized first, without clap: as a login shell,
//! the arguments are ignored, and as a forced command, they come from sshd's configuration.

use crate::pki::member_host::MemberHost;
use crate::pki::private_key::KeyAlgorithm;
use crate::signer::ca_backup::{BackupOptions, RestoreOptions};
use crate::signer::ca_init::CaInitOptions;
use crate::signer::check::{CheckGroup, CheckOptions};
use crate::signer::member_fetch::MemberFetchOptions;
use crate::signer::member_renew::MemberRenewOptions;
use crate::signer::member_sign::MemberSignOptions;
use crate::system::settings::SettingsSource;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The command to run.
#[derive(Debug)]
pub(crate) enum SignerInvocation {
    /// Answer the request in `SSH_ORIGINAL_COMMAND`, with these settings.
    Serve(SettingsSource),
    Check(CheckOptions),
    CaInit(CaInitOptions),
    CaBackup(BackupOptions),
    CaRestore(RestoreOptions),
    MemberSign(MemberSignOptions),
    MemberRenew(MemberRenewOptions),
    MemberFetch(MemberFetchOptions),
}

/// Issues 24-hour etcd client certificates to Kubernetes masters, as an SSH forced command.
#[derive(Parser)]
#[command(name = "etcd-signer", version)]
struct SignerCli {
    #[command(subcommand)]
    command: SignerCommand,
}

#[derive(Subcommand)]
enum SignerCommand {
    /// Answer the request in SSH_ORIGINAL_COMMAND, as the forced command of sshd
    Serve {
        /// Settings file to use instead of /etc/etcd-signer/config.toml
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check this host's configuration as a signer and as an etcd member. Exits with 0, with 1 if
    /// there is a warning, with 2 if a check fails
    Check(CheckArgs),
    /// Create, back up and restore the certificate authority
    #[command(subcommand)]
    Ca(CaCommand),
    /// Sign, renew and fetch certificates of members of the etcd cluster
    #[command(subcommand)]
    Member(MemberCommand),
}

#[derive(Subcommand)]
enum MemberCommand {
    /// Sign a member's certificate request: PEM or DER on standard input, certificate on standard
    /// output
    Sign(SignArgs),
    /// Renew the certificates of members that are in the last third of their time, for the members
    /// to fetch: on a signer
    Renew(RenewArgs),
    /// Put the certificate that a signer has renewed for this member in place: on a member
    Fetch(FetchArgs),
}

#[derive(Args)]
struct RenewArgs {
    /// Say what would be renewed, and renew nothing
    #[arg(long)]
    dry_run: bool,
    /// Renew every member that is due now, instead of one in each run
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write metrics for Prometheus to this file, in a directory that exists
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    metrics: Option<PathBuf>,
    /// Settings file to use instead of /etc/etcd-signer/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct FetchArgs {
    /// Say what would be replaced, and replace nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The certificate of this member, which is replaced
    #[arg(long, value_name = "FILE", value_parser = absolute,
          default_value = "/etc/etcd/pki/member.crt")]
    certificate: PathBuf,
    /// The private key of this member, which stays
    #[arg(long, value_name = "FILE", value_parser = absolute,
          default_value = "/etc/etcd/pki/member.key")]
    key: PathBuf,
    /// Write metrics for Prometheus to this file, in a directory that exists
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    metrics: Option<PathBuf>,
    /// Settings file to use instead of /etc/etcd-signer/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct SignArgs {
    /// An IP address or DNS name of the member; give every one that peers and clients use,
    /// including 127.0.0.1
    #[arg(long = "host", value_name = "HOST", required = true, value_parser = MemberHost::parse)]
    hosts: Vec<MemberHost>,
    /// Validity of the certificate in days
    #[arg(long, default_value_t = 730, value_parser = clap::value_parser!(u16).range(1..=825))]
    days: u16,
    /// Settings file to use instead of /etc/etcd-signer/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum CaCommand {
    /// Create a CA key and certificate. Existing files are never overwritten
    Init(InitArgs),
    /// Save the CA key and certificate in an encrypted file, with age
    Backup(BackupArgs),
    /// Restore the CA key and certificate from a backup. Existing files are never overwritten
    Restore(RestoreArgs),
}

#[derive(Args)]
struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Run only these checks; may be given more than once
    #[arg(long, value_name = "GROUP", value_enum)]
    only: Vec<CheckGroup>,
    /// An address in the allowed networks, instead of one of each network in the drop-in; may be
    /// given more than once
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    inside: Vec<String>,
    /// An address outside the allowed networks, instead of one IPv4 and one IPv6 address; may be
    /// given more than once
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    outside: Vec<String>,
    /// Only assess these networks, without opening them
    #[arg(long, value_name = "NETWORK,...")]
    networks: Option<String>,
    /// Settings file to use instead of /etc/etcd-signer/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct BackupArgs {
    /// The file to create
    file: PathBuf,
    /// An age or SSH public key that can decrypt the file; may be given more than once. Without
    /// it, age asks for a passphrase
    #[arg(long = "recipient", value_name = "KEY")]
    recipients: Vec<String>,
    /// Settings file to use instead of /etc/etcd-signer/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct RestoreArgs {
    /// The backup file
    file: PathBuf,
    /// A file with a private key that can decrypt the backup; may be given more than once.
    /// Without it, age asks for the passphrase
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
    /// Directory for ca.key and ca.crt
    #[arg(long, value_name = "DIR", default_value = "/etc/etcd/pki")]
    directory: PathBuf,
}

#[derive(Args)]
struct InitArgs {
    /// Directory for ca.key and ca.crt
    #[arg(long, value_name = "DIR", default_value = "/etc/etcd/pki")]
    directory: PathBuf,
    /// Key type (for RSA, create the key and certificate with openssl)
    #[arg(long, value_enum, default_value = "p256")]
    key_type: KeyAlgorithm,
    /// Validity of the CA certificate in days
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u16).range(1..=36500))]
    days: u16,
    /// Common name of the CA
    #[arg(long, value_name = "NAME", default_value = "etcd-ca")]
    common_name: String,
}

/// Parses the arguments, with the program's name first.
///
/// As a login shell, the program gets `-c` and a string, or a name that begins with a hyphen. The
/// string is chosen by the client, and is ignored. All arguments are also ignored under any name
/// but `etcd-signer`: the account's shell is a link with another name, because any local user can
/// pass arguments to it with `su signer -- ARGUMENTS`. Neither su nor sshd lets users choose the name.
///
/// # Errors
/// Those of clap, also for `--help` and `--version`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<SignerInvocation, clap::Error> {
    if is_login_shell(&arguments) {
        return Ok(SignerInvocation::Serve(SettingsSource::Default));
    }
    if let Some(settings) = forced_command(&arguments) {
        return Ok(SignerInvocation::Serve(settings));
    }
    Ok(match SignerCli::try_parse_from(arguments)?.command {
        SignerCommand::Serve { config } => SignerInvocation::Serve(config.into()),
        SignerCommand::Member(MemberCommand::Sign(args)) => {
            SignerInvocation::MemberSign(MemberSignOptions {
                hosts: args.hosts,
                days: args.days,
                settings: args.config.into(),
            })
        }
        SignerCommand::Member(MemberCommand::Renew(args)) => {
            SignerInvocation::MemberRenew(MemberRenewOptions {
                settings: args.config.into(),
                dry_run: args.dry_run,
                all: args.all,
                json: args.json,
                metrics: args.metrics,
            })
        }
        SignerCommand::Member(MemberCommand::Fetch(args)) => {
            SignerInvocation::MemberFetch(MemberFetchOptions {
                settings: args.config.into(),
                certificate: args.certificate,
                key: args.key,
                dry_run: args.dry_run,
                json: args.json,
                metrics: args.metrics,
            })
        }
        SignerCommand::Check(args) => SignerInvocation::Check(CheckOptions {
            settings: args.config.into(),
            only: args.only,
            inside: args.inside,
            outside: args.outside,
            networks: args.networks,
            json: args.json,
        }),
        SignerCommand::Ca(CaCommand::Backup(args)) => SignerInvocation::CaBackup(BackupOptions {
            file: args.file,
            recipients: args.recipients,
            settings: args.config.into(),
        }),
        SignerCommand::Ca(CaCommand::Restore(args)) => {
            SignerInvocation::CaRestore(RestoreOptions {
                file: args.file,
                identities: args.identities,
                directory: args.directory,
            })
        }
        SignerCommand::Ca(CaCommand::Init(args)) => SignerInvocation::CaInit(CaInitOptions {
            directory: args.directory,
            algorithm: args.key_type,
            days: args.days,
            common_name: args.common_name,
        }),
    })
}

fn address(text: &str) -> Result<String, std::net::AddrParseError> {
    Ok(text.parse::<std::net::IpAddr>()?.to_string())
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("it must be an absolute path")
    }
}

/// The definition of the command line, for man pages and shell completions.
#[must_use]
pub fn command() -> clap::Command {
    SignerCli::command()
}

fn is_login_shell(arguments: &[OsString]) -> bool {
    let own_name = arguments
        .first()
        .and_then(|name| Path::new(name).file_name())
        .is_none_or(|name| name == "etcd-signer");
    !own_name || arguments.get(1).is_some_and(|first| first == "-c")
}

/// `serve` in the form of a forced command. clap would accept it, too, but this saves building its
/// definition for each request.
fn forced_command(arguments: &[OsString]) -> Option<SettingsSource> {
    match arguments {
        [_, serve] if serve == "serve" => Some(SettingsSource::Default),
        [_, serve, option, file]
            if serve == "serve" && option == "--config" && Path::new(file).is_absolute() =>
        {
            Some(SettingsSource::File(file.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{SignerCli, SignerCommand, SignerInvocation, forced_command, parse};
    use crate::system::settings::SettingsSource;
    use clap::Parser as _;
    use std::ffi::OsString;
    use std::path::PathBuf;

    fn source(arguments: &[&str]) -> Option<SettingsSource> {
        match parse(arguments.iter().map(Into::into).collect()) {
            Ok(SignerInvocation::Serve(source)) => Some(source),
            _ => None,
        }
    }

    #[test]
    fn login_shell_arguments_are_ignored() {
        for arguments in [
            &["etcd-signer", "-c", "/bin/sh"][..],
            &["etcd-signer", "-c"],
            &[
                "etcd-signer",
                "-c",
                "etcd-signer serve --config /x",
                "--help",
            ],
            &["-etcd-signer"],
            &["-sh", "ca", "init"],
            &["etcd-signer-login"],
            &["etcd-signer-login", "serve", "--config", "/x"],
            &["etcd-signer-login", "ca", "init"],
            &["/usr/bin/etcd-signer-login", "--help"],
        ] {
            assert_eq!(
                source(arguments),
                Some(SettingsSource::Default),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn serve_accepts_a_settings_file() {
        for name in ["etcd-signer", "/usr/bin/etcd-signer", "./etcd-signer"] {
            assert_eq!(source(&[name, "serve"]), Some(SettingsSource::Default));
            assert_eq!(source(&[name, "ca"]), None);
        }
        assert_eq!(
            source(&["etcd-signer", "serve", "--config", "/x"]),
            Some(SettingsSource::File(PathBuf::from("/x")))
        );
        assert_eq!(source(&["etcd-signer"]), None);
        assert_eq!(source(&["etcd-signer", "serve", "sh"]), None);
    }

    #[test]
    fn forced_command_is_parsed_as_clap_parses_it() {
        for (arguments, recognized) in [
            (&["etcd-signer", "serve"][..], true),
            (&["etcd-signer", "serve", "--config", "/x"], true),
            (&["etcd-signer", "serve", "--config", "x"], false),
            (&["etcd-signer", "serve", "--config=/x"], false),
            (&["etcd-signer", "serve", "--config", ""], false),
            (&["etcd-signer", "serve", "--config", "--help"], false),
            (&["etcd-signer", "serve", "--config"], false),
            (&["etcd-signer", "serve", "--help"], false),
            (&["etcd-signer", "serve", "/x"], false),
            (&["etcd-signer", "check", "--config", "/x"], false),
            (&["etcd-signer"], false),
        ] {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            let own = forced_command(&arguments);
            assert_eq!(own.is_some(), recognized, "{arguments:?}");
            let Some(own) = own else { continue };
            let Ok(SignerCli {
                command: SignerCommand::Serve { config },
            }) = SignerCli::try_parse_from(&arguments)
            else {
                panic!("clap parses {arguments:?} as another command");
            };
            assert_eq!(own, config.into(), "{arguments:?}");
        }
    }
}
