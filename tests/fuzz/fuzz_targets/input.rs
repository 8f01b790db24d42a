//! Standard input as it arrives: base64, then PEM or DER, then a request.

#![no_main]

use etcd_signer::internals::Csr;
use etcd_signer_fuzz::mutate::{self, Random};
use etcd_signer_fuzz::oracle::{check_accepted, check_message};
use etcd_signer_fuzz::pem;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed);
    mutate::in_place(data, size, max_size, |value, max| {
        mutate::input(value, max, &mut random)
    })
});

fuzz_target!(|input: &[u8]| {
    match Csr::from_input(input) {
        Ok(csr) => {
            // White space apart, it was strict base64 with its padding.
            let decoded = pem::decode(input).unwrap();
            let text = String::from_utf8_lossy(&decoded);
            let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
            let framed = labels.iter().any(|label| {
                text.contains(&format!("-----BEGIN {label}-----"))
                    && text.contains(&format!("-----END {label}-----"))
            });
            if framed {
                assert_eq!(text.matches("-----BEGIN ").count(), 1);
            } else {
                assert_eq!(decoded.first(), Some(&0x30));
            }
            if decoded.first() == Some(&0x30) {
                check_accepted(&decoded, csr.common_name(), csr.public_key().spki());
            } else if let Ok((label, der)) = pem_rfc7468::decode_vec(&decoded) {
                assert!(labels.contains(&label), "{label}");
                check_accepted(&der, csr.common_name(), csr.public_key().spki());
            }
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(text.starts_with("request refused: "), "{text}");
            check_message(&text);
        }
    }
});
