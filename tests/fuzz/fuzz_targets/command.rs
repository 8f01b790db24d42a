//! `SSH_ORIGINAL_COMMAND`, and `SSH_CONNECTION`, which a local user of `su` may forge as well.
//!
//! The parser must agree with the contract's own words, and what it says of the client's bytes
//! must be fit for a terminal and a log.

#![no_main]

use etcd_signer::internals::{Client, Request, escape};
use etcd_signer_fuzz::oracle::check_message;
use libfuzzer_sys::fuzz_target;
use regex::bytes::Regex;
use std::sync::LazyLock;

static CONTRACT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)\A(?:get-certificate|get-peers|kubemaster-[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\z")
        .unwrap()
});

fuzz_target!(|command: &[u8]| {
    let allowed = CONTRACT.is_match(command) && command.len() <= 63;
    match Request::parse(Some(command)) {
        Ok(request) => {
            assert!(
                allowed,
                "{} is taken for {request:?}",
                command.escape_ascii()
            );
            assert_eq!(request.as_str().as_bytes(), command);
        }
        Err(refusal) => {
            assert!(!allowed, "{}: {refusal}", command.escape_ascii());
            check_message(&refusal.to_string());
        }
    }
    assert!(escape(command).len() <= 400);
    if let Some(client) = Client::parse(Some(command)) {
        check_message(&format!("{} {}", client.address, client.port));
    }
});
