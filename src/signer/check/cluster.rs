//! The whole cluster, as its members tell it: whether it decides, how many more may fail, and what
//! will stop it.

use super::{CheckOptions, Places, Report, renewal};
use crate::etcd::endpoint::Endpoint;
use crate::etcd::health::{self, MemberHealth, MemberStatus};
use crate::etcd::identity::Identity;
use crate::etcd::process::{self, SettingsOrigin};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKeyFile;
use crate::signer::config::SignerConfig;
use crate::signer::member_survey::signer_identity;
use crate::system::environment_file;
use crate::system::escape::escape;
use crate::system::paths::{ETCD_ENVIRONMENT, ETCDCTL_ENVIRONMENT};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const SUBJECT: &str = "cluster";

/// How long the members may take, twice: for the list, and for each one's status.
const TIME: Duration = Duration::from_secs(3);

/// etcd's own default (`--quota-backend-bytes`), in bytes.
const DEFAULT_QUOTA: u64 = 2 * 1024 * 1024 * 1024;

/// By how many entries a member may be behind. etcd keeps so many for one that is (its
/// `--experimental-snapshot-catchup-entries`); one that is further behind needs a whole snapshot.
const LAG: u64 = 5000;

pub(super) fn check(
    options: &CheckOptions,
    places: &Places,
    ca: Option<&CaCertificate>,
    now: i64,
    report: &mut Report,
) {
    force_new_cluster(report);
    let Some(ca) = ca else { return };
    let config = SignerConfig::load(&options.settings).unwrap_or_default();
    let Some(identity) = identity(places, &config, ca, now) else {
        return;
    };
    let own = OwnSettings::read();
    // Others first: an etcd that was removed does not know.
    let mut endpoints: Vec<Endpoint> = own
        .others
        .iter()
        .filter_map(|url| Endpoint::parse(url))
        .collect();
    endpoints.extend(config.etcd_endpoints.iter().cloned());
    match health::members(&endpoints, ca.der(), &identity, TIME) {
        Ok(members) => {
            // One other may be behind, or lie: a member is removed if its own etcd does not say
            // otherwise.
            let here = || health::members(&config.etcd_endpoints, ca.der(), &identity, TIME);
            let is_listed = own.is_among(&members)
                || here().is_ok_and(|as_told_here| own.is_among(&as_told_here));
            assess(&members, is_listed, &own, report);
        }
        Err(error) => report.fail(SUBJECT, error.to_string()),
    }
}

/// The signer's, or else this member's own.
fn identity(
    places: &Places,
    config: &SignerConfig,
    ca: &CaCertificate,
    now: i64,
) -> Option<Identity> {
    if let Ok(key_file) = CaKeyFile::open(&config.ca_key)
        && let Ok(identity) = signer_identity(key_file, ca, now)
    {
        return Some(identity);
    }
    let certificate = fs::read(places.pki.join("member.crt")).ok()?;
    renewal::identity(places, &certificate)
}

/// What this host's settings say of it.
#[derive(Default)]
struct OwnSettings {
    /// Its client URLs. Empty if setup has not written them.
    client_urls: Vec<String>,
    /// The client URLs of others that it knows.
    others: Vec<String>,
    /// In bytes.
    quota: Option<u64>,
}

impl OwnSettings {
    fn read() -> Self {
        let text = fs::read_to_string(ETCD_ENVIRONMENT).unwrap_or_default();
        let client = fs::read_to_string(ETCDCTL_ENVIRONMENT).unwrap_or_default();
        Self::parse(&text, &client)
    }

    /// Whether this host is one of the members, for all that is known: one that has not started yet
    /// advertises nothing.
    fn is_among(&self, members: &[MemberHealth]) -> bool {
        let is_own = |member: &MemberHealth| {
            member
                .client_urls
                .iter()
                .any(|url| self.client_urls.contains(url))
        };
        self.client_urls.is_empty()
            || members
                .iter()
                .any(|member| member.name.is_empty() || is_own(member))
    }

    fn parse(environment: &str, client_environment: &str) -> Self {
        let settings = environment_file::parse(environment);
        let client_urls = environment_file::list(&settings, "ETCD_ADVERTISE_CLIENT_URLS");
        let client = environment_file::parse(client_environment);
        let mut others = environment_file::list(&client, "ETCDCTL_ENDPOINTS");
        others.retain(|url| !client_urls.contains(url));
        Self {
            client_urls,
            others,
            quota: settings
                .get("ETCD_QUOTA_BACKEND_BYTES")
                .and_then(|quota| quota.parse().ok()),
        }
    }
}

/// With it, the next start of etcd makes a cluster of one out of this member's data.
fn force_new_cluster(report: &mut Report) {
    let is_on = |value: &str| !matches!(value, "" | "false" | "0" | "f" | "F" | "FALSE" | "False");
    let text = fs::read_to_string(ETCD_ENVIRONMENT).unwrap_or_default();
    let in_file = environment_file::parse(&text)
        .get("ETCD_FORCE_NEW_CLUSTER")
        .is_some_and(|value| is_on(value));
    let in_process = process::running().iter().any(|process| {
        matches!(process.settings(), Ok(SettingsOrigin::FlagsAndEnvironment(values))
            if values.get("force-new-cluster").is_some_and(|value| is_on(value)))
    });
    if in_file || in_process {
        report.fail(
            SUBJECT,
            format!(
                "force-new-cluster is set: at its next start, etcd forgets the other members: take \
                 the line out of {ETCD_ENVIRONMENT}, or out of etcd's flags"
            ),
        );
    }
}

/// A member, for a message.
fn shown(member: &MemberHealth) -> String {
    if member.name.is_empty() {
        format!("{:x}, which has never started", member.id)
    } else {
        member.name.clone()
    }
}

fn assess(members: &[MemberHealth], is_listed: bool, own: &OwnSettings, report: &mut Report) {
    if !is_listed {
        report.fail(
            SUBJECT,
            "the cluster does not list this host: it was removed. Run 'etcd-signer-setup leave', \
             which also closes the login, and the host can join again",
        );
        return;
    }
    let voters: Vec<&MemberHealth> = members.iter().filter(|member| !member.is_learner).collect();
    let answering: Vec<(&MemberHealth, &MemberStatus)> = voters
        .iter()
        .filter_map(|member| Some((*member, member.status.as_ref().ok()?)))
        .collect();
    quorum(&voters, &answering, report);
    let known: Vec<(&MemberHealth, &MemberStatus)> = members
        .iter()
        .filter_map(|member| Some((member, member.status.as_ref().ok()?)))
        .collect();
    versions(&known, report);
    databases(&known, own, report);
    behind(&known, report);
    for member in members.iter().filter(|member| member.is_learner) {
        report.warn(
            SUBJECT,
            format!(
                "{} is a learner and does not vote: if no join is at work, promote it (etcdctl \
                 member promote {id:x}) or remove it (etcdctl member remove {id:x})",
                shown(member),
                id = member.id
            ),
        );
    }
}

/// Whether the voting members decide, and how many more of them may fail.
fn quorum(
    voters: &[&MemberHealth],
    answering: &[(&MemberHealth, &MemberStatus)],
    report: &mut Report,
) {
    let needed = (voters.len() / 2).saturating_add(1);
    let silent: Vec<String> = voters
        .iter()
        .filter_map(|member| match &member.status {
            Ok(_) => None,
            Err(_) if member.name.is_empty() => Some(shown(member)),
            Err(cause) => Some(format!(
                "{} ({}): {cause}",
                shown(member),
                escape(member.client_urls.join(", ").as_bytes())
            )),
        })
        .collect();
    let silent = silent.join("; ");
    let count = format!(
        "{} of {} voting members answer",
        answering.len(),
        voters.len()
    );
    if answering.len() < needed {
        report.fail(
            SUBJECT,
            format!(
                "no quorum: {count}, and {needed} are needed: nothing can be written. Bring them \
                 back: {silent}"
            ),
        );
        return;
    }
    let leaders: BTreeSet<u64> = answering.iter().map(|(_, status)| status.leader).collect();
    let leader = match leaders.iter().copied().collect::<Vec<_>>().as_slice() {
        [leader] if *leader != 0 => voters
            .iter()
            .find(|member| member.id == *leader)
            .map_or_else(|| format!("{leader:x}"), |member| shown(member)),
        _ => {
            report.fail(
                SUBJECT,
                format!(
                    "{count}, and they agree on no leader: read etcd's logs (journalctl -u etcd)"
                ),
            );
            return;
        }
    };
    let spare = answering.len().saturating_sub(needed);
    let may_fail = match (spare, voters.len()) {
        (0, 1) => "it is the only one".to_owned(),
        (0, _) => "no more may fail".to_owned(),
        (spare, _) => format!("{spare} more may fail"),
    };
    if silent.is_empty() {
        report.ok(SUBJECT, format!("{count}, {leader} leads; {may_fail}"));
    } else {
        report.warn(
            SUBJECT,
            format!("{count}, and {may_fail}: bring back {silent}"),
        );
    }
}

fn versions(known: &[(&MemberHealth, &MemberStatus)], report: &mut Report) {
    let versions: BTreeSet<&str> = known
        .iter()
        .map(|(_, status)| status.version.as_str())
        .collect();
    if versions.len() > 1 {
        let each: Vec<String> = known
            .iter()
            .map(|(member, status)| format!("{} {}", shown(member), status.version))
            .collect();
        report.warn(
            SUBJECT,
            format!(
                "etcd's versions differ: complete the upgrade: {}",
                each.join(", ")
            ),
        );
    }
}

/// Alarms, and databases that are close to one.
fn databases(known: &[(&MemberHealth, &MemberStatus)], own: &OwnSettings, report: &mut Report) {
    // Every member lists the alarms of all.
    let alarms: BTreeSet<&str> = known
        .iter()
        .flat_map(|(_, status)| &status.errors)
        .map(|error| error.trim())
        .filter(|error| error.contains("alarm:"))
        .collect();
    for alarm in alarms {
        let raiser = known
            .iter()
            .find(|(member, _)| alarm.starts_with(&format!("memberID:{} ", member.id)))
            .map_or_else(|| "a member".to_owned(), |(member, _)| shown(member));
        report.fail(
            SUBJECT,
            format!(
                "{raiser} has raised an alarm ({alarm}): for NOSPACE, compact and defragment, then run \
                 'etcdctl alarm disarm'; for CORRUPT, remove that member alone and let it join again"
            ),
        );
    }
    for (member, status) in known {
        let quota = status.db_size_quota.or(own.quota).unwrap_or(DEFAULT_QUOTA);
        let percent = status
            .db_size
            .saturating_mul(100)
            .checked_div(quota)
            .unwrap_or(0);
        if percent >= 80 {
            report.warn(
                SUBJECT,
                format!(
                    "the database of {} has {percent} % of its quota: at 100 %, etcd takes no more \
                     writes: compact and defragment (etcdctl compact, etcdctl defrag), or raise \
                     quota-backend-bytes",
                    shown(member)
                ),
            );
        }
    }
}

fn behind(known: &[(&MemberHealth, &MemberStatus)], report: &mut Report) {
    let newest = known
        .iter()
        .map(|(_, status)| status.raft_index)
        .max()
        .unwrap_or(0);
    for (member, status) in known {
        let lag = newest.saturating_sub(status.raft_index);
        if lag > LAG {
            report.warn(
                SUBJECT,
                format!(
                    "{} is {lag} entries behind: look at its disk and its network",
                    shown(member)
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnSettings, assess};
    use crate::etcd::error::EndpointCause;
    use crate::etcd::health::{MemberHealth, MemberStatus};
    use crate::signer::check::Report;

    fn member(number: u64, answers: bool) -> MemberHealth {
        let status = MemberStatus {
            version: "3.5.16".to_owned(),
            db_size: 1,
            db_size_quota: None,
            leader: 1,
            raft_index: 9000,
            errors: Vec::new(),
        };
        MemberHealth {
            id: number,
            name: format!("n{number}"),
            client_urls: vec![format!("https://10.0.0.{number}:2379")],
            is_learner: false,
            status: if answers {
                Ok(status)
            } else {
                Err(EndpointCause::NothingListens)
            },
        }
    }

    fn change(member: &mut MemberHealth, change: impl FnOnce(&mut MemberStatus)) {
        change(member.status.as_mut().unwrap());
    }

    /// The lines of the report, in this member's own view.
    fn lines(members: &[MemberHealth], own: &str) -> String {
        let mut report = Report::default();
        let own = OwnSettings::parse(&format!("ETCD_ADVERTISE_CLIENT_URLS={own}\n"), "");
        assess(members, own.is_among(members), &own, &mut report);
        report.to_text()
    }

    const N1: &str = "https://10.0.0.1:2379";

    #[test]
    fn count_of_members_that_may_fail() {
        for (answering, size, verdict, words) in [
            (1, 1, "ok", "it is the only one"),
            (2, 2, "ok", "no more may fail"),
            (3, 3, "ok", "1 more may fail"),
            (5, 5, "ok", "2 more may fail"),
            (2, 3, "warn", "no more may fail"),
            (3, 5, "warn", "no more may fail"),
            (
                1,
                3,
                "FAIL",
                "no quorum: 1 of 3 voting members answer, and 2 are needed",
            ),
            (2, 5, "FAIL", "no quorum: 2 of 5"),
        ] {
            let members: Vec<_> = (1..=size).map(|n| member(n, n <= answering)).collect();
            let lines = lines(&members, N1);
            assert!(
                lines.starts_with(verdict) && lines.contains(words),
                "{lines}"
            );
            assert_eq!(
                lines.contains("nothing listens"),
                answering < size,
                "{lines}"
            );
        }
    }

    #[test]
    fn host_that_was_removed_is_told_so() {
        let members = [member(1, true), member(2, true)];
        assert!(lines(&members, "https://10.0.0.3:2379").contains("FAIL"));
        assert!(!lines(&members, N1).contains("removed"));
        // A host whose etcd somebody else has set up.
        assert!(!lines(&members, "").contains("removed"));
    }

    #[test]
    fn what_will_stop_the_cluster_is_named() {
        let mut members = [member(1, true), member(2, true), member(3, true)];
        assert!(lines(&members, N1).starts_with("ok") && lines(&members, N1).lines().count() == 1);
        change(&mut members[1], |status| {
            status.version = "3.6.4".to_owned()
        });
        change(&mut members[2], |status| {
            status.db_size = 2 * 1024 * 1024 * 1024
        });
        change(&mut members[0], |status| status.raft_index = 20_000);
        let text = lines(&members, N1);
        assert!(
            text.contains("n2 3.6.4") && text.contains("100 %"),
            "{text}"
        );
        assert!(text.contains("n2 is 11000 entries behind"), "{text}");
        change(&mut members[2], |status| {
            status.errors = vec!["memberID:3 alarm:NOSPACE ".to_owned()];
        });
        assert!(
            lines(&members, N1).contains("FAIL"),
            "{}",
            lines(&members, N1)
        );
        change(&mut members[1], |status| status.leader = 0);
        assert!(lines(&members, N1).contains("agree on no leader"));
        members[2].is_learner = true;
        assert!(lines(&members, N1).contains("n3 is a learner"));
    }

    #[test]
    fn other_members_are_known_from_the_settings_of_etcdctl() {
        let own = OwnSettings::parse(
            "# x\nETCD_ADVERTISE_CLIENT_URLS=https://old:2379\n\
             ETCD_ADVERTISE_CLIENT_URLS=\"https://10.0.0.1:2379\"\nETCD_QUOTA_BACKEND_BYTES=8\n",
            "ETCDCTL_ENDPOINTS=https://10.0.0.1:2379,https://10.0.0.2:2379\n",
        );
        assert_eq!(own.others, ["https://10.0.0.2:2379"]);
        assert_eq!(own.quota, Some(8));
    }
}
