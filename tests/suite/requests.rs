//! Requests that must be refused, each with a message that names the cause, and the ones that
//! look odd and must not be.

use crate::harness::{Ca, base64, openssl, openssl_with};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

/// Tag, length, contents: DER written by hand.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let len = contents.len();
    let mut out = vec![tag];
    if len < 0x80 {
        out.push(u8::try_from(len).unwrap());
    } else {
        let bytes = len.to_be_bytes();
        let bytes = &bytes[bytes.iter().position(|b| *b != 0).unwrap()..];
        out.push(0x80 | u8::try_from(bytes.len()).unwrap());
        out.extend(bytes);
    }
    out.extend(contents);
    out
}

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, parts)
}

fn bits(contents: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], contents])
}

const EC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA512: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
const RSA_KEY: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
];
const RSA_SHA256: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b,
];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];
const CHALLENGE_PASSWORD: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07,
];
const EXTENSION_REQUEST: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e,
];

/// A key, and what a request with it is made of. Each field can be replaced before it is made.
struct Crafted {
    key: EcdsaKeyPair,
    version: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    attributes: Vec<u8>,
    algorithm: Vec<u8>,
    /// What follows the three parts, inside the outer SEQUENCE.
    inside: Vec<u8>,
}

impl Crafted {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        Self {
            version: vec![0x02, 0x01, 0x00],
            subject: seq(&[&rdn(COMMON_NAME, 0x0c, b"kubemaster-1")]),
            spki: seq(&[&seq(&[EC_KEY, P256]), &bits(key.public_key().as_ref())]),
            attributes: vec![0xa0, 0x00],
            algorithm: seq(&[ECDSA_SHA256]),
            inside: Vec::new(),
            key,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut crafted = Self::new();
        change(&mut crafted);
        crafted.der()
    }

    fn info(&self) -> Vec<u8> {
        seq(&[&self.version, &self.subject, &self.spki, &self.attributes])
    }

    fn der(&self) -> Vec<u8> {
        self.around(&self.info())
    }

    /// The request around this CertificationRequestInfo, truly signed.
    fn around(&self, info: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), info).unwrap();
        let signature = bits(signature.as_ref());
        seq(&[info, &self.algorithm, &signature, &self.inside])
    }
}

/// A relative distinguished name of one attribute.
fn rdn(attribute: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    set(&[&seq(&[attribute, &tlv(tag, &[value])])])
}

#[track_caller]
fn accepts(ca: &Ca, what: &str, der: &[u8]) {
    let answer = ca.sign("kubemaster-1", &base64(der));
    assert_eq!(answer.code, Some(0), "{what}: {answer:?}");
    ca.verifies(&answer.stdout);
    // None of what a request may bring besides, in any of these tests, is in there.
    let der = openssl(ca.dir.path(), "x509 -in issued.crt -outform DER");
    for planted in [&b"secret123"[..], b"system:masters", CHALLENGE_PASSWORD] {
        assert!(
            !der.windows(planted.len()).any(|at| at == planted),
            "{what}"
        );
    }
}

#[track_caller]
fn refuses(ca: &Ca, words: &str, der: &[u8]) {
    ca.sign("kubemaster-1", &base64(der)).fails(65, words);
}

#[test]
fn crafted_request_is_accepted_unless_changed() {
    let ca = Ca::new();
    accepts(&ca, "unchanged", &Crafted::new().der());
    accepts(
        &ca,
        "without attributes",
        &Crafted::with(|c| c.attributes.clear()),
    );
}

#[test]
fn odd_attributes_and_subjects_are_accepted() {
    let ca = Ca::new();
    let password = seq(&[CHALLENGE_PASSWORD, &set(&[&tlv(0x0c, &[b"secret123"])])]);
    let attributes: [(&str, Vec<u8>); 6] = [
        (
            "the same attribute twice",
            [password.clone(), password].concat(),
        ),
        (
            "a password that is a number",
            seq(&[CHALLENGE_PASSWORD, &set(&[&[2, 1, 5]])]),
        ),
        (
            "extensions that are text",
            seq(&[EXTENSION_REQUEST, &set(&[&tlv(0x0c, &[b"system:masters"])])]),
        ),
        (
            "two sets of extensions",
            seq(&[EXTENSION_REQUEST, &set(&[&seq(&[]), &seq(&[])])]),
        ),
        ("an attribute without a type", seq(&[&set(&[])])),
        ("an attribute that is none", vec![0x05, 0x00]),
    ];
    for (what, attribute) in attributes {
        let attributes = tlv(0xa0, &[&attribute]);
        accepts(&ca, what, &Crafted::with(|c| c.attributes = attributes));
    }
    for (what, tag) in [
        ("UTF8String", 0x0c),
        ("PrintableString", 0x13),
        ("TeletexString", 0x14),
        ("IA5String", 0x16),
    ] {
        let name = rdn(COMMON_NAME, tag, b"kubemaster-1");
        accepts(&ca, what, &Crafted::with(|c| c.subject = seq(&[&name])));
    }
    let organization = rdn(ORGANIZATION, 0x0c, b"system:masters");
    let odd = rdn(ORGANIZATION, 0x1c, b"\0\0\0x");
    let name = rdn(COMMON_NAME, 0x0c, b"kubemaster-1");
    let subject = seq(&[&organization, &odd, &name, &organization]);
    accepts(&ca, "other parts", &Crafted::with(|c| c.subject = subject));
    let together = set(&[
        &seq(&[COMMON_NAME, &tlv(0x0c, &[b"kubemaster-1"])]),
        &seq(&[ORGANIZATION, &tlv(0x0c, &[b"system:masters"])]),
    ]);
    let subject = seq(&[&together]);
    accepts(
        &ca,
        "two in one part",
        &Crafted::with(|c| c.subject = subject),
    );
}

#[test]
fn subject_without_the_one_requested_name_is_refused() {
    let ca = Ca::new();
    let name = |text: &[u8]| rdn(COMMON_NAME, 0x0c, text);
    let with = |subject: Vec<u8>| Crafted::with(|c| c.subject = subject);
    refuses(&ca, "has no common name", &with(seq(&[])));
    let organization = rdn(ORGANIZATION, 0x0c, b"kubemaster-1");
    refuses(&ca, "has no common name", &with(seq(&[&organization])));
    let one = name(b"kubemaster-1");
    refuses(&ca, "has 2 common names", &with(seq(&[&one, &one])));
    let attribute = seq(&[COMMON_NAME, &tlv(0x0c, &[b"kubemaster-1"])]);
    let both = set(&[&attribute, &attribute]);
    refuses(&ca, "has 2 common names", &with(seq(&[&both])));
    for (other, shown) in [
        (&b"kubemaster-2"[..], "kubemaster-2"),
        (b"kubemaster-1\0", "kubemaster-1\\x00"),
        (b"KUBEMASTER-1", "KUBEMASTER-1"),
        (b" kubemaster-1", " kubemaster-1"),
        (b"", ""),
        (b"\x1b[31m\n", "\\x1b[31m\\n"),
    ] {
        let words = format!("its common name is \"{shown}\", but kubemaster-1 was requested");
        refuses(&ca, &words, &with(seq(&[&name(other)])));
    }
    let wide: Vec<u8> = "kubemaster-1".bytes().flat_map(|b| [0, b]).collect();
    let bmp = rdn(COMMON_NAME, 0x1e, &wide);
    refuses(&ca, "has an unsupported string type", &with(seq(&[&bmp])));
    refuses(&ca, "not a distinguished name", &with(set(&[&one])));
    refuses(&ca, "not a distinguished name", &with(seq(&[&seq(&[])])));
    let typeless = set(&[&seq(&[&tlv(0x07, &[b"\x55\x04\x03"]), &tlv(0x0c, &[b"x"])])]);
    refuses(&ca, "not a distinguished name", &with(seq(&[&typeless])));
}

#[test]
fn encoding_other_than_strict_der_is_refused() {
    let ca = Ca::new();
    let good = Crafted::new();
    let der = good.der();
    refuses(
        &ca,
        "followed by trailing bytes",
        &[&der[..], &[0]].concat(),
    );
    refuses(
        &ca,
        "followed by trailing bytes",
        &[&der[..], &der[..]].concat(),
    );
    let inside = Crafted::with(|c| c.inside = vec![0x05, 0x00]);
    refuses(&ca, "it does not have three parts", &inside);
    let more = Crafted::with(|c| c.attributes = [&[0xa0, 0][..], &[0x05, 0x00]].concat());
    refuses(
        &ca,
        "consist of version, subject, key and attributes",
        &more,
    );
    let other = Crafted::with(|c| c.attributes = vec![0xa1, 0x00]);
    refuses(
        &ca,
        "consist of version, subject, key and attributes",
        &other,
    );

    // The same contents, with a length in one byte more than it needs.
    let info = good.info();
    let longer = |der: &[u8]| {
        let header = if der[1] < 0x80 {
            2
        } else {
            2 + usize::from(der[1] & 0x7f)
        };
        let len = u32::try_from(der.len() - header).unwrap().to_be_bytes();
        [&[der[0], 0x84], &len[..], &der[header..]].concat()
    };
    refuses(&ca, "not in its shortest form", &longer(&der));
    refuses(
        &ca,
        "not in its shortest form",
        &good.around(&longer(&info)),
    );
    let subject = longer(&good.subject);
    refuses(
        &ca,
        "not in its shortest form",
        &Crafted::with(|c| c.subject = subject),
    );
    let deep = tlv(0xa0, &[&longer(&seq(&[CHALLENGE_PASSWORD, &set(&[])]))]);
    refuses(
        &ca,
        "not in its shortest form",
        &Crafted::with(|c| c.attributes = deep),
    );
    let indefinite = [&[0x30, 0x80][..], &der[4..], &[0, 0]].concat();
    refuses(&ca, "it is not strict DER", &indefinite);
    for cut in [1, der.len() / 2, der.len() - 1] {
        refuses(&ca, "it is not strict DER", &der[..cut]);
    }
    let mut deep = vec![0x05, 0x00];
    for _ in 0..40 {
        deep = seq(&[&deep]);
    }
    let deep = tlv(0xa0, &[&deep]);
    refuses(
        &ca,
        "nested too deeply",
        &Crafted::with(|c| c.attributes = deep),
    );
    refuses(
        &ca,
        "a tag is not allowed",
        &Crafted::with(|c| c.subject = vec![0x10, 0x00]),
    );

    for version in [1, 2, 3] {
        let der = Crafted::with(|c| c.version = vec![0x02, 0x01, version]);
        refuses(&ca, "its version is not 1", &der);
    }
    let der = Crafted::with(|c| c.version = vec![0x02, 0x02, 0, 0]);
    refuses(&ca, "its version is not 1", &der);
    let der = Crafted::with(|c| c.version = vec![0x01, 0x01, 0]);
    refuses(&ca, "its version is not an INTEGER", &der);
    let odd_oid = seq(&[&tlv(0x07, &[&ECDSA_SHA256[2..]])]);
    refuses(
        &ca,
        "algorithm cannot be parsed",
        &Crafted::with(|c| c.algorithm = odd_oid),
    );
}

#[test]
fn key_of_another_kind_is_refused() {
    let ca = Ca::new();
    let dir = ca.dir.path();
    for (words, named) in [
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
            "RSA key has 1024 bits",
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2047",
            "RSA key has 2047 bits",
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3",
            "exponent is not 65537",
        ),
        (
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
            "its key type is not accepted (RSA-PSS)",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
            "its key type is not accepted (ECDSA on P-521)",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-224",
            "its key type is not accepted (ECDSA on P-224)",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
            "its key type is not accepted (ECDSA on secp256k1)",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1",
            "its key type is not accepted (ECDSA on brainpoolP256r1)",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP384r1",
            "its key type is not accepted (ECDSA on brainpoolP384r1)",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt \
             ec_param_enc:explicit",
            "on a curve without a name",
        ),
        (
            "genpkey -algorithm ED448",
            "its key type is not accepted (Ed448)",
        ),
    ] {
        openssl(dir, &format!("{words} -out odd.key"));
        let pem = openssl(dir, "req -new -key odd.key -subj /CN=kubemaster-1");
        refuses(&ca, named, &pem);
        refuses(&ca, "use RSA of 2048 to 4096 bits", &pem);
    }
    openssl(
        dir,
        "genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsa.param",
    );
    openssl(dir, "genpkey -paramfile dsa.param -out odd.key");
    let pem = openssl(dir, "req -new -key odd.key -subj /CN=kubemaster-1");
    refuses(&ca, "its key type is not accepted (DSA)", &pem);

    // 8192 bits take openssl a minute to find; any odd number of that size is refused.
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let key = seq(&[&tlv(0x02, &[&[0], modulus]), &tlv(0x02, &[exponent])]);
        let spki = seq(&[&seq(&[RSA_KEY, &[0x05, 0x00]]), &bits(&key)]);
        Crafted::with(|c| {
            c.spki = spki;
            c.algorithm = seq(&[RSA_SHA256, &[0x05, 0x00]]);
        })
    };
    refuses(
        &ca,
        "RSA key has 8192 bits",
        &rsa(&[0xff; 1024], &[1, 0, 1]),
    );
    let mut modulus = vec![0xff; 513];
    modulus[0] = 1;
    let key = seq(&[&tlv(0x02, &[&modulus]), &tlv(0x02, &[&[1, 0, 1]])]);
    let spki = seq(&[&seq(&[RSA_KEY, &[0x05, 0x00]]), &bits(&key)]);
    refuses(
        &ca,
        "RSA key has 4097 bits",
        &Crafted::with(|c| c.spki = spki),
    );
    let whole = vec![0xff; 256];
    refuses(&ca, "exponent is not 65537", &rsa(&whole, &[3]));
    refuses(&ca, "exponent is not 65537", &rsa(&whole, &[1, 0, 1, 0, 1]));
    refuses(&ca, "not an RSAPublicKey", &rsa(&whole, &[0, 1, 0, 1]));
    refuses(
        &ca,
        "its signature does not verify",
        &rsa(&whole, &[1, 0, 1]),
    );
    let key = seq(&[&tlv(0x02, &[&[0], &whole[..]]), &tlv(0x02, &[&[1, 0, 1]])]);
    let spki = seq(&[&seq(&[RSA_KEY]), &bits(&key)]);
    refuses(
        &ca,
        "parameters that are not NULL",
        &Crafted::with(|c| c.spki = spki),
    );
}

#[test]
fn point_off_the_curve_or_compressed_is_refused() {
    let ca = Ca::new();
    let good = Crafted::new();
    let point = good.key.public_key().as_ref().to_vec();
    let with = |point: &[u8]| {
        let spki = seq(&[&seq(&[EC_KEY, P256]), &bits(point)]);
        Crafted::with(|c| c.spki = spki)
    };
    let mut off = point.clone();
    off[64] ^= 1;
    refuses(
        &ca,
        "its public key is not a point on the curve",
        &with(&off),
    );
    refuses(
        &ca,
        "its public key is not a point on the curve",
        &with(&[&[4][..], &[0; 64]].concat()),
    );
    let compressed = [&[2 | (point[64] & 1)][..], &point[1..33]].concat();
    refuses(&ca, "point is not uncompressed", &with(&compressed));
    let mut hybrid = point.clone();
    hybrid[0] = 6 | (point[64] & 1);
    refuses(&ca, "point is not uncompressed", &with(&hybrid));
    refuses(&ca, "point is not uncompressed", &with(&[0]));
    refuses(&ca, "point is not uncompressed", &with(&point[..64]));

    // Of small order: 0, 1, -1, the two of order 8, and 0 and 1 above the modulus; both signs.
    for y in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        for sign in [0, 0x80] {
            let mut key: Vec<u8> = (0..32)
                .map(|at| u8::from_str_radix(&y[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            key[31] |= sign;
            let spki = seq(&[&seq(&[ED25519]), &bits(&key)]);
            let info = seq(&[&good.version, &good.subject, &spki, &good.attributes]);
            // For such a key, R = identity and S = 0 is a signature of everything.
            let mut forged = [0; 64];
            forged[0] = 1;
            let der = seq(&[&info, &seq(&[ED25519]), &bits(&forged)]);
            refuses(&ca, "a point of small order", &der);
        }
    }
    // A sound Ed25519 key, crafted the same way, is taken.
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let spki = seq(&[&seq(&[ED25519]), &bits(key.public_key().as_ref())]);
    let info = seq(&[&good.version, &good.subject, &spki, &good.attributes]);
    let signature = bits(key.sign(&info).as_ref());
    accepts(&ca, "Ed25519", &seq(&[&info, &seq(&[ED25519]), &signature]));
}

#[test]
fn signature_of_another_key_or_kind_is_refused() {
    let ca = Ca::new();
    let dir = ca.dir.path();
    openssl(
        dir,
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key",
    );
    for (digest, named) in [
        (
            "-md5",
            "its signature algorithm is not accepted (RSA with MD5)",
        ),
        (
            "-sha1",
            "its signature algorithm is not accepted (RSA with SHA-1)",
        ),
        (
            "-sha224",
            "its signature algorithm is not accepted (RSA with SHA-224)",
        ),
        (
            "-sha256 -sigopt rsa_padding_mode:pss",
            "its signature algorithm is not accepted (RSA-PSS)",
        ),
    ] {
        let words = format!("req -new -key rsa.key -subj /CN=kubemaster-1 {digest}");
        refuses(&ca, named, &openssl(dir, &words));
    }
    openssl(
        dir,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key",
    );
    for (digest, named) in [
        (
            "-sha1",
            "its signature algorithm is not accepted (ECDSA with SHA-1)",
        ),
        (
            "-sha224",
            "its signature algorithm is not accepted (ECDSA with SHA-224)",
        ),
        (
            "-sha512",
            "its signature algorithm is not accepted (ECDSA with SHA-512)",
        ),
    ] {
        let words = format!("req -new -key ec.key -subj /CN=kubemaster-1 {digest}");
        refuses(&ca, named, &openssl(dir, &words));
    }
    // Another family than the key's, whatever the bytes.
    let rsa = seq(&[RSA_SHA256, &[0x05, 0x00]]);
    let named =
        "its signature algorithm (RSA with SHA-256) does not match its key (ECDSA on P-256)";
    refuses(&ca, named, &Crafted::with(|c| c.algorithm = rsa));
    let named = "its signature algorithm (Ed25519) does not match its key (ECDSA on P-256)";
    refuses(
        &ca,
        named,
        &Crafted::with(|c| c.algorithm = seq(&[ED25519])),
    );
    let sha512 = Crafted::with(|c| c.algorithm = seq(&[ECDSA_SHA512]));
    refuses(
        &ca,
        "its signature algorithm is not accepted (ECDSA with SHA-512)",
        &sha512,
    );
    let null = Crafted::with(|c| c.algorithm = seq(&[ECDSA_SHA256, &[0x05, 0x00]]));
    refuses(&ca, "has parameters that are not allowed", &null);
    let unknown = Crafted::with(|c| c.algorithm = seq(&[&[0x06, 0x03, 0x2a, 0x03, 0x04]]));
    refuses(&ca, "(unknown algorithm 1.2.3.4)", &unknown);

    // Somebody else's signature, a changed byte, none at all.
    let (own, other) = (Crafted::new(), Crafted::new());
    refuses(
        &ca,
        "does not verify with the key in it",
        &other.around(&own.info()),
    );
    let mut altered = own.der();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    refuses(&ca, "does not verify with the key in it", &altered);
    let none = seq(&[&own.info(), &own.algorithm, &bits(&[])]);
    refuses(&ca, "does not verify with the key in it", &none);
    let null = seq(&[&own.info(), &own.algorithm, &[0x05, 0x00]]);
    refuses(&ca, "not a BIT STRING", &null);
    let signature = own.key.sign(&SystemRandom::new(), &own.info()).unwrap();
    let unused = tlv(0x03, &[&[1], signature.as_ref()]);
    let unused = seq(&[&own.info(), &own.algorithm, &unused]);
    refuses(&ca, "not a BIT STRING of whole bytes", &unused);
}

#[test]
fn malformed_base64_and_pem_are_refused() {
    let ca = Ca::new();
    let dir = ca.dir.path();
    let pem = ca.request_pem("p256", "kubemaster-1", "");
    let der = openssl_with(dir, "req -outform DER", &pem).stdout;
    let sign = |input: &[u8]| ca.sign("kubemaster-1", input);
    sign(b"").fails(65, "standard input is empty");
    sign(b" \r\n\t\n").fails(65, "standard input is empty");
    sign(&pem).fails(65, "it is plain PEM: base64-encode it before sending");
    let text = openssl_with(dir, "req -text", &pem).stdout;
    sign(&text).fails(65, "it is plain PEM");
    let long = openssl(
        dir,
        "req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=kubemaster-1 -outform DER",
    );
    sign(&long).fails(65, "it is plain DER");
    assert_eq!(der[..2], [0x30, 0x81]);
    sign(&der).fails(65, "it is plain DER");
    sign(&base64(b"")).fails(65, "standard input is empty");
    sign(&base64(b"hello")).fails(65, "neither PEM nor DER");

    let good = String::from_utf8(base64(&pem)).unwrap();
    let flat = good.replace('\n', "");
    sign(format!("{}-{}", &flat[..20], &flat[21..]).as_bytes())
        .fails(65, "URL-safe base64 alphabet");
    sign(format!("{}_{}", &flat[..20], &flat[21..]).as_bytes())
        .fails(65, "URL-safe base64 alphabet");
    for stray in ['!', '\0', '\u{1b}', '"', '.', '\u{e9}'] {
        let input = format!("{}{stray}{}", &flat[..20], &flat[20..]);
        sign(input.as_bytes()).fails(65, "is not in the alphabet");
    }
    let padded = [pem.as_slice(), b"\n\n\n"].concat();
    let mut lengths = 0;
    for more in 0..3 {
        let text = String::from_utf8(base64(&padded[..pem.len() + more])).unwrap();
        let text = text.replace('\n', "");
        if let Some(bare) = text.strip_suffix('=') {
            lengths += 1;
            sign(bare.as_bytes()).fails(65, "padding is missing");
        }
        sign(format!("{text}=").as_bytes()).fails(65, "its base64 is truncated");
        sign(&text.as_bytes()[..text.len() - 1]).fails(65, "its base64 is truncated");
    }
    assert_eq!(lengths, 2);
    sign(b"QQ==QQ==").fails(65, "its base64 is truncated");
    sign(b"QR==").fails(65, "its base64 is truncated");

    let twice = [pem.as_slice(), pem.as_slice()].concat();
    refuses(&ca, "more than one PEM block", &twice);
    let and_key = [pem.as_slice(), ca.dir.read("client.key").as_bytes()].concat();
    refuses(&ca, "more than one PEM block", &and_key);
    refuses(&ca, "it is a certificate", ca.dir.read("ca.crt").as_bytes());
    refuses(
        &ca,
        "it is a private key, which must never",
        ca.dir.read("client.key").as_bytes(),
    );
    let public = openssl(dir, "pkey -in client.key -pubout");
    refuses(&ca, "it is a public key", &public);
    let text = String::from_utf8(pem.clone()).unwrap();
    let other = text.replace("CERTIFICATE REQUEST", "SOMETHING ELSE");
    refuses(&ca, "PEM block of another type", other.as_bytes());
    let half = text.replace("END CERTIFICATE REQUEST", "END CERTIFICATE");
    refuses(&ca, "PEM block cannot be parsed", half.as_bytes());
    refuses(&ca, "PEM block cannot be parsed", &pem[..pem.len() / 2]);
    let inner = text.replacen("\nM", "\n!", 1);
    refuses(&ca, "PEM block cannot be parsed", inner.as_bytes());
    let certificate = openssl(dir, "x509 -in ca.crt -outform DER");
    refuses(&ca, "it is not a PKCS#10 request", &certificate);
    let key = openssl(dir, "pkey -in client.key -outform DER");
    refuses(&ca, "it is not a PKCS#10 request", &key);
    let spki = openssl(dir, "pkey -in client.key -pubout -outform DER");
    refuses(&ca, "it is not a PKCS#10 request", &spki);
    assert_eq!(sign(&base64(&der)).code, Some(0));
}

/// Requests of six makers, as they wrote them (`tests/fuzz/seeds/README.md` says which).
#[test]
fn request_of_every_maker_is_decided_as_expected() {
    let ca = Ca::new();
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let mut makers = std::collections::BTreeMap::<String, usize>::new();
    for entry in std::fs::read_dir(seeds).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".pem") else {
            continue;
        };
        let pem = std::fs::read(&path).unwrap();
        let refusal = match stem {
            "keytool-dsa" => "its key type is not accepted (DSA)",
            "openssl-compressed" => "point is not uncompressed",
            "openssl-ed448" => "its key type is not accepted (Ed448)",
            "openssl-explicit" => "on a curve without a name",
            "openssl-k1" => "its key type is not accepted (ECDSA on secp256k1)",
            "openssl-no-name" => "has no common name",
            "openssl-p256-sha512" => "its signature algorithm is not accepted (ECDSA with SHA-512)",
            "openssl-p521" => "its key type is not accepted (ECDSA on P-521)",
            "openssl-pss" => "its key type is not accepted (RSA-PSS)",
            "openssl-rsa-sha1" => "its signature algorithm is not accepted (RSA with SHA-1)",
            "openssl-rsa1" => "its RSA key has 1024 bits",
            "openssl-two-names" => "has 2 common names",
            "pyca-bmpstring" => "has an unsupported string type",
            "pyca-rsa-e3" => "exponent is not 65537",
            _ => "",
        };
        if refusal.is_empty() {
            accepts(&ca, stem, &pem);
            let maker = stem.split('-').next().unwrap().to_owned();
            *makers.entry(maker).or_default() += 1;
        } else {
            refuses(&ca, refusal, &pem);
        }
    }
    let accepted: Vec<_> = makers
        .iter()
        .map(|(maker, count)| (maker.as_str(), *count))
        .collect();
    let expected = [
        ("gnutls", 3),
        ("go", 4),
        ("keytool", 3),
        ("nss", 2),
        ("openssl", 8),
        ("pyca", 4),
    ];
    assert_eq!(accepted, expected);
}
