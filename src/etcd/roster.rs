//! Every member of a cluster by name, with the client URLs that it advertises.

use super::endpoint::Endpoint;
use super::error::MemberListError;
use super::identity::Identity;
use crate::system::escape::escape;
use std::time::Duration;

/// A member that has started, voting or not.
#[derive(Clone, Debug)]
pub(crate) struct ListedMember {
    /// Escaped.
    pub(crate) name: String,
    /// As the member advertises them: whatever it likes.
    pub(crate) client_urls: Vec<String>,
}

/// Queries the endpoints one after another until one answers.
///
/// # Errors
/// [`MemberListError`].
pub(crate) fn members(
    endpoints: &[Endpoint],
    ca_certificate: &[u8],
    identity: &Identity,
    timeout: Duration,
) -> Result<Vec<ListedMember>, MemberListError> {
    super::ask_for_members(endpoints, ca_certificate, identity, timeout, |members| {
        let started = members.iter().filter(|member| !member.name.is_empty());
        Ok(started
            .map(|member| ListedMember {
                name: escape(member.name.as_bytes()),
                client_urls: member.client_urls.clone(),
            })
            .collect())
    })
}
