//! The command line.

use crate::pki::member_host::MemberHost;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

/// What the process was started to do.
#[derive(Debug)]
pub(crate) enum SetupInvocation {
    Init(InitArgs),
    Join(JoinArgs),
    Leave(LeaveArgs),
    Renew(RenewArgs),
    Status {
        /// Whether as JSON.
        json: bool,
    },
}

/// Makes this host a member of an etcd cluster, and its signer; takes it out again.
///
/// A run that fails while it checks this host has changed nothing. One that fails later rolls back
/// what it did, and can be run again. The log is /var/log/etcd-signer-first-boot.log.
#[derive(Parser)]
#[command(name = "etcd-signer-setup", version)]
struct SetupCli {
    #[command(subcommand)]
    command: SetupCommand,
}

#[derive(Subcommand)]
enum SetupCommand {
    /// Make this host the first member of a new cluster, and its signer
    Init(InitArgs),
    /// Make this host a further member of a cluster
    Join(JoinArgs),
    /// Take this host out of its cluster. Data, settings and certificates are moved aside, and the
    /// host can join again
    Leave(LeaveArgs),
    /// Have this member's certificate signed anew, for its key and the addresses in etcd's settings,
    /// and put it in place. For what does not renew by itself: one that has expired, or is for names
    /// that do not fit
    Renew(RenewArgs),
    /// Show what this host is set up as. Exits with 0, or with 1 if a run is unfinished
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `init` and `join` have in common.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// This member's name: a DNS name, in lower case [default: the host's name, without its domain]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
    /// Its address for peers and clients, or an IPv4 and an IPv6 address, separated by a comma; etcd
    /// then listens on both [default: the source address of connections to the leader, or to other
    /// networks]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    pub(crate) address: Vec<IpAddr>,
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Roll back an earlier run that was interrupted, although its etcd may be in use; NAME is the
    /// member's name. The CA and the member's data are moved aside
    #[arg(long, value_name = "NAME")]
    pub(crate) take_back: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The control plane's networks, which may use this signer, separated by commas [default: the
    /// network of the address]
    #[arg(long, value_name = "NETWORKS")]
    pub(crate) networks: Option<String>,
    /// Restore the CA from this backup instead of creating one: its masters go on without a change
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_backup: Option<PathBuf>,
    /// A file with an age or SSH private key, for a backup that was made with --recipient; may be given
    /// more than once
    #[arg(long, value_name = "FILE", requires = "ca_backup")]
    pub(crate) identity: Vec<PathBuf>,
    /// Restore etcd's data from this snapshot (etcdctl snapshot save)
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The address of the leader, the host that signs
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) signer_ip: IpAddr,
    /// The port of sshd on the leader
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    pub(crate) ssh_port: u16,
    /// SHA-256 of the CA certificate, as init prints it; without it, the certificate that the
    /// leader sends is trusted
    #[arg(long, value_name = "SHA256", value_parser = fingerprint)]
    pub(crate) ca_fingerprint: Option<String>,
    /// The login on the leader that signs this member's certificate and reads the clock there; a user
    /// other than root needs sudo without a password [default: root@ADDRESS]
    #[arg(long, value_name = "USER@HOST", value_parser = admin)]
    pub(crate) admin: Option<String>,
    /// Without such access, the first of two steps: write the request to this file, and stop
    #[arg(long, value_name = "FILE", conflicts_with = "certificate")]
    pub(crate) csr_out: Option<PathBuf>,
    /// The second step: continue with the certificate that was signed for the request
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct LeaveArgs {
    /// Only print what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A backup of the CA, which is decrypted and compared with the installed key. Needed if no other
    /// signer answers
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_backup: Option<PathBuf>,
    /// A file with an age or SSH private key, for a backup that was made with --recipient
    #[arg(long, value_name = "FILE", requires = "ca_backup")]
    pub(crate) identity: Vec<PathBuf>,
    /// Leave even as the last member, which ends the cluster
    #[arg(long)]
    pub(crate) last_member: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RenewArgs {
    /// The address of a signer [default: this host, if it is one]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) signer_ip: Option<IpAddr>,
    /// The port of sshd on the signer
    #[arg(long, value_name = "PORT", default_value_t = 22)]
    pub(crate) ssh_port: u16,
    /// How root on the signer is reached over ssh; another user needs sudo without a password there
    /// [default: root@ADDRESS]
    #[arg(long, value_name = "USER@HOST", value_parser = admin)]
    pub(crate) admin: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Takes the arguments, the program's own name first.
///
/// # Errors
/// clap's own, for a usage that it does not know, and for `--help` and `--version`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<SetupInvocation, clap::Error> {
    Ok(match SetupCli::try_parse_from(arguments)?.command {
        SetupCommand::Init(init) => SetupInvocation::Init(init),
        SetupCommand::Join(join) => SetupInvocation::Join(join),
        SetupCommand::Leave(leave) => SetupInvocation::Leave(leave),
        SetupCommand::Renew(renew) => SetupInvocation::Renew(renew),
        SetupCommand::Status { json } => SetupInvocation::Status { json },
    })
}

/// All commands and options: what man pages and shell completions are made of.
#[must_use]
pub fn command() -> clap::Command {
    SetupCli::command()
}

/// A member's name, in lower case. The first label of a master's name, and names that have a
/// meaning here, are no member's.
pub(super) fn name(text: &str) -> Result<String, String> {
    let Ok(MemberHost::Name(name)) = MemberHost::parse(text) else {
        return Err("a member's name is a DNS name: letters, digits, hyphens and dots".to_owned());
    };
    if name.starts_with("kubemaster-") || ["etcd-signer", "localhost"].contains(&name.as_str()) {
        return Err(format!(
            "{name} cannot be a member's name: choose another with --name"
        ));
    }
    Ok(name)
}

fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .map_err(|_| "it must be an IP address, not a name".to_owned())
}

fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("SHA256:").unwrap_or(text);
    let digits = text.replace(':', "").to_ascii_lowercase();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err("it must be the 64 hexadecimal digits that init prints".to_owned())
    }
}

/// Nothing that ssh could take for an option.
fn admin(text: &str) -> Result<String, String> {
    let wrong = || "it must be USER@HOST".to_owned();
    let (user, host) = text.split_once('@').ok_or_else(wrong)?;
    let allowed = |part: &str, more: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if allowed(user, "._-") && allowed(host, ".:-") {
        Ok(format!("{user}@{host}"))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::{admin, fingerprint, name, parse};

    #[test]
    fn name_is_a_dns_name_in_lower_case() {
        assert_eq!(
            name("ETCD-1.Example.COM").as_deref(),
            Ok("etcd-1.example.com")
        );
        for wrong in [
            "",
            "10.0.0.1",
            "a b",
            "kubemaster-1",
            "KubeMaster-1",
            "localhost",
            "a_b",
            "7",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fingerprint_is_taken_as_openssl_and_init_print_it() {
        let digits = "ab".repeat(32);
        let colons = ["AB"; 32].join(":");
        for text in [digits.clone(), format!("SHA256:{digits}"), colons] {
            assert_eq!(fingerprint(&text), Ok(digits.clone()));
        }
        for wrong in ["", "ab", &"zz".repeat(32)] {
            assert!(fingerprint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn admin_cannot_be_an_option_of_ssh() {
        assert_eq!(admin("alice@10.0.0.1").as_deref(), Ok("alice@10.0.0.1"));
        assert_eq!(admin("root@[fd00::1]").as_deref(), Ok("root@fd00::1"));
        for wrong in [
            "-oProxyCommand=x@y",
            "root@-x",
            "root",
            "@h",
            "a b@c",
            "a@b c",
            "a@b;c",
        ] {
            assert!(admin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_steps_of_a_join_exclude_each_other() {
        let words = |line: &str| line.split(' ').map(Into::into).collect();
        let join = "etcd-signer-setup join --signer-ip=10.0.0.1";
        assert!(parse(words(join)).is_ok());
        assert!(parse(words(&format!("{join} --csr-out=a --certificate=b"))).is_err());
        assert!(parse(words("etcd-signer-setup join")).is_err());
        assert!(parse(words("etcd-signer-setup init --address 10.0.0.1,fd00::1")).is_ok());
    }
}
