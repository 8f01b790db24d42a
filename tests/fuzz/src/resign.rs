//! Requests signed anew, so that what was changed in them is looked at.
//!
//! The signer verifies the proof of possession before it reads the subject. A request that was
//! changed without being signed again never gets that far.

use crate::der::{Node, parse};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use std::sync::LazyLock;

enum Key {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
}

struct Signer {
    spki: Vec<u8>,
    algorithm: &'static [u8],
    key: Key,
}

static SIGNERS: LazyLock<Vec<Signer>> = LazyLock::new(|| {
    const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
    const EC_P256: &[u8] =
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    const EC_P384: &[u8] =
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
    const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
    let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut signers = vec![Signer {
        spki: spki(ED25519, ed25519.public_key().as_ref()),
        algorithm: ED25519,
        key: Key::Ed25519(ed25519),
    }];
    for (scheme, curve, algorithm) in [
        (&ECDSA_P256_SHA256_ASN1_SIGNING, EC_P256, ECDSA_SHA256),
        (&ECDSA_P384_SHA384_ASN1_SIGNING, EC_P384, ECDSA_SHA384),
    ] {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(scheme, document.as_ref(), &random).unwrap();
        signers.push(Signer {
            spki: spki(curve, key.public_key().as_ref()),
            algorithm,
            key: Key::Ecdsa(key),
        });
    }
    signers
});

fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut inside = parse(algorithm).unwrap();
    inside.push(Node::leaf(0x03, &[&[0], key].concat()));
    Node {
        inside,
        ..Node::leaf(0x30, &[])
    }
    .to_bytes()
}

/// Signs a request with a key of ours, if it has the shape of one. Its key becomes ours, if it
/// was not one of them.
pub fn resign(request: &mut [Node], choice: usize) {
    let Some([info, algorithm, signature]) =
        request.first_mut().map(|node| node.inside.as_mut_slice())
    else {
        return;
    };
    let Some(key) = info.inside.get_mut(2) else {
        return;
    };
    let present = key.to_bytes();
    let signer = SIGNERS
        .iter()
        .find(|signer| signer.spki == present)
        .unwrap_or(&SIGNERS[choice % SIGNERS.len()]);
    *key = parse(&signer.spki).unwrap().remove(0);
    *algorithm = parse(signer.algorithm).unwrap().remove(0);
    let message = info.to_bytes();
    let made = match &signer.key {
        Key::Ed25519(key) => key.sign(&message).as_ref().to_vec(),
        Key::Ecdsa(key) => {
            let made = key.sign(&SystemRandom::new(), &message).unwrap();
            made.as_ref().to_vec()
        }
    };
    *signature = Node::leaf(0x03, &[&[0], made.as_slice()].concat());
}
