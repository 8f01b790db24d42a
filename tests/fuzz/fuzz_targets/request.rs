//! A whole request as a function: the command and standard input (with a NUL between) to a
//! certificate or a refusal, for CAs of three kinds of key, at any time while they are in force.

#![no_main]

use etcd_signer::internals::{
    CaCertificate, CaInitOptions, CaKey, CaKeyFile, Exit, KeyAlgorithm, Record, Request,
    RequestError, authorize, certify, escape, init,
};
use etcd_signer_fuzz::mutate::{self, Random};
use etcd_signer_fuzz::oracle::{Issuer, check_accepted, check_message};
use etcd_signer_fuzz::pem;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::sync::LazyLock;
use std::time::Duration;
use time::OffsetDateTime;

struct Ca {
    certificate: CaCertificate,
    key: CaKey,
    issuer: Issuer,
    start: i64,
}

static CAS: LazyLock<Vec<Ca>> = LazyLock::new(|| {
    [
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::Ed25519,
    ]
    .map(|algorithm| {
        let directory = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        // Some 179 years: dates beyond 2049 are written in another form.
        let options = CaInitOptions {
            directory: directory.path().join("pki"),
            algorithm,
            days: u16::MAX,
            common_name: "fuzz".to_owned(),
        };
        let made = init(&options, now).unwrap();
        let start = now.unix_timestamp();
        let certificate = CaCertificate::load(&made.certificate, start).unwrap();
        let key = CaKeyFile::open(&made.key)
            .unwrap()
            .read(&certificate)
            .unwrap();
        let issuer = Issuer::from_der(certificate.der());
        Ca {
            certificate,
            key,
            issuer,
            start,
        }
    })
    .into()
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed);
    mutate::in_place(data, size, max_size, |value, max| {
        let (command, input) = split(value);
        if random.below(8) == 0 {
            let command = mutate::bytes(command, command.len() + 16);
            return [command.as_slice(), b"\0", input].concat();
        }
        let room = max.saturating_sub(command.len() + 1);
        let input = mutate::input(input, room, &mut random);
        [command, b"\0", input.as_slice()].concat()
    })
});

fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|byte| *byte == 0);
    let end = end.unwrap_or(value.len());
    (&value[..end], value.get(end + 1..).unwrap_or_default())
}

fuzz_target!(|data: &[u8]| {
    let (command, input) = split(data);
    let sum = data.iter().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)
    });
    let ca = &CAS[usize::try_from(sum % 3).unwrap()];
    let life = u64::try_from(ca.certificate.not_after() - ca.start).unwrap();
    // Every fourth time in the CA's last two days.
    let left = match (sum >> 2) % 4 {
        0 => (sum >> 4) % (2 * 24 * 3600),
        _ => (sum >> 4) % life,
    };
    let now = ca.certificate.not_after() - i64::try_from(left).unwrap();
    let longest = [24 * 3600, 3600, 60][usize::try_from((sum >> 40) % 3).unwrap()];

    let mut record = Record {
        request: Some(escape(command)),
        ..Record::default()
    };
    let answer = Request::parse(Some(command))
        .map_err(RequestError::from)
        .and_then(|request| match request {
            Request::Sign(name) => {
                let grant = authorize(name, input, &mut record)?;
                let total = Duration::from_secs(longest);
                let made = certify(&grant, &ca.certificate, &ca.key, total, now, &mut record)?;
                Ok(Some((grant, made)))
            }
            Request::Certificate | Request::Peers => Ok(None),
        });
    match answer {
        Ok(Some((grant, certificate))) => {
            let name = std::str::from_utf8(command).unwrap();
            let spki = grant.public_key().spki();
            let now = u64::try_from(now).unwrap();
            ca.issuer
                .check(&certificate.pem(), name, spki, now, longest);
            // The key is the request's, and the request was for that name.
            let decoded = pem::decode(input).unwrap();
            let der = pem::contents(&decoded).unwrap_or(decoded);
            check_accepted(&der, command, spki);
            assert!(record.serial.is_some() && record.not_after.is_some());
        }
        Ok(None) => assert!(command == b"get-certificate" || command == b"get-peers"),
        Err(error) => {
            assert!(matches!(error.exit(), Exit::Usage | Exit::Data), "{error}");
            check_message(&error.to_string());
            assert!(record.serial.is_none());
        }
    }
    for text in [
        &record.request,
        &record.name,
        &record.public_key,
        &record.serial,
    ] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            check_message(text);
        }
    }
});
