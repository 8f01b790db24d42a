//! The checks of a request in DER: what is accepted is read the same by another parser, and
//! nothing that its signature covers can be changed.

#![no_main]

use etcd_signer::internals::Csr;
use etcd_signer_fuzz::mutate::{self, Random};
use etcd_signer_fuzz::oracle::{check_accepted, check_message};
use etcd_signer_fuzz::{der, pem};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed);
    mutate::in_place(data, size, max_size, |value, max| {
        mutate::request(value, max, &mut random)
    })
});

fn parse(der: &[u8]) -> Result<Csr, String> {
    Csr::from_input(&pem::encode(der, 0, "")).map_err(|refusal| refusal.to_string())
}

fuzz_target!(|request: &[u8]| {
    let csr = match parse(request) {
        Ok(csr) => csr,
        Err(text) => {
            check_message(&text);
            return;
        }
    };
    check_accepted(request, csr.common_name(), csr.public_key().spki());
    // In its one form: written again, shortest, it is the same.
    assert_eq!(der::write(&der::frames(request).unwrap()), request);
    // Some bit of what is signed, chosen by the request itself.
    let signed = der::frames(request).unwrap().remove(0).inside[0].to_bytes();
    let start = request
        .windows(signed.len())
        .position(|part| part == signed)
        .unwrap();
    let sum = request.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let mut changed = request.to_vec();
    changed[start + sum % signed.len()] ^= 1 << (sum % 8);
    assert!(parse(&changed).is_err(), "changed after it was signed");
    // And bytes behind it.
    changed = request.to_vec();
    changed.push(0);
    assert!(parse(&changed).is_err(), "with a byte behind it");
});
