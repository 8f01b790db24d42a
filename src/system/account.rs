//! Accounts of this host, above all the one that the SSH endpoint runs as.

use std::fs;

pub(crate) const SIGNER: &str = "signer";

/// Read directly (passwd(5)): getpwnam(3) would need glibc's loadable modules, which a static
/// executable does not have.
const PASSWD: &str = "/etc/passwd";

/// An entry of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
}

/// The account [`SIGNER`], if this host has it.
#[must_use]
pub(crate) fn signer() -> Option<Account> {
    named(SIGNER)
}

/// The account of this name, if this host has it.
#[must_use]
pub(crate) fn named(name: &str) -> Option<Account> {
    parse(&fs::read_to_string(PASSWD).ok()?, name)
}

fn parse(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [own, _, uid, gid, _, home, shell] = fields.as_slice() else {
            return None;
        };
        (*own == name).then_some(())?;
        Some(Account {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: (*home).to_owned(),
            shell: (*shell).to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, parse};

    #[test]
    fn account_is_found_by_its_exact_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\
                      signer2:x:7:7::/:/bin/sh\n\
                      broken:x:8\n\
                      signer:x:997:996:etcd-signer endpoint:/:/usr/bin/etcd-signer-login\n";
        let found = Account {
            uid: 997,
            gid: 996,
            home: "/".to_owned(),
            shell: "/usr/bin/etcd-signer-login".to_owned(),
        };
        assert_eq!(parse(passwd, "signer"), Some(found));
        for absent in ["sign", "broken", "", "nobody"] {
            assert_eq!(parse(passwd, absent), None);
        }
        assert_eq!(parse("signer:x:many:0:::", "signer"), None);
    }
}
