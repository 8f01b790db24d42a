//! The account that the endpoint runs as, as the host's own list of accounts has it.

use std::fs;

/// The account's name.
pub(crate) const SIGNER: &str = "signer";

/// Where the accounts are (passwd(5)). Asking glibc would need its loadable modules, which a
/// static executable does not have.
const PASSWD: &str = "/etc/passwd";

/// What the list says of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The numeric user id.
    pub uid: u32,
    /// The numeric id of its group.
    pub gid: u32,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// The account [`SIGNER`] of this host, if it has one.
#[must_use]
pub(crate) fn signer() -> Option<Account> {
    parse(&fs::read_to_string(PASSWD).ok()?, SIGNER)
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
    fn an_account_is_found_by_its_whole_name() {
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
