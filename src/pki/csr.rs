//! Certificate requests: base64, then PEM or DER, then a [`Csr`] whose signature verifies (proof of
//! possession).
//!
//! Only the public key and the common name are used. Attributes and requested extensions are
//! covered by the signature, and otherwise ignored.

use crate::pki::public_key::{PublicKey, PublicKeyError, SignatureAlgorithmError};
use crate::pki::strict_der::{
    self, BIT_STRING, DerError, Element, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::UnparsedPublicKey;

/// A PKCS#10 request (RFC 2986) whose sender has proved possession of the private key.
///
/// [`Csr::from_input`] and [`Csr::from_file`] are the only constructors.
#[derive(Clone, Debug)]
pub struct Csr {
    common_name: Vec<u8>,
    public_key: PublicKey,
}

/// Why a request is refused. Every message begins with `request refused: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request refused: {0}")]
pub struct CsrError(#[from] CsrCause);

/// The cause of a [`CsrError`], in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrCause {
    /// Nothing but white space.
    #[error(
        "standard input is empty: send the base64-encoded request: base64 < client.csr | ssh ... NAME"
    )]
    Empty,
    /// PEM that was not base64-encoded.
    #[error("it is plain PEM: base64-encode it before sending: base64 < client.csr | ssh ... NAME")]
    BarePem,
    /// DER that was not base64-encoded.
    #[error("it is plain DER: base64-encode it before sending: base64 < client.der | ssh ... NAME")]
    BareDer,
    /// A byte of the URL-safe alphabet (RFC 4648, section 5).
    #[error("it is in the URL-safe base64 alphabet (- and _): use the standard one (+ and /)")]
    UrlAlphabet,
    #[error(
        "it is not base64: byte {0:#04x} is not in the alphabet: encode the request with base64"
    )]
    StrayByte(u8),
    /// Missing or misplaced padding, or nonzero bits after the last byte.
    #[error(
        "its base64 is truncated, or the = padding is missing: encode the whole file with base64"
    )]
    Padding,
    #[error("its PEM block cannot be parsed, it may be truncated: send the whole file")]
    BrokenPem,
    #[error("its contents are neither PEM nor DER: send a PKCS#10 request")]
    NeitherPemNorDer,
    #[error("it contains more than one PEM block: send a single CERTIFICATE REQUEST")]
    SeveralBlocks,
    #[error("it is a {0}: send a CERTIFICATE REQUEST")]
    WrongLabel(&'static str),
    #[error("it is not strict DER: {0}: make a new request")]
    DerError(#[from] DerError),
    #[error("it is not a PKCS#10 request: {0}")]
    Structure(&'static str),
    #[error("its version is not 1, the only version of PKCS#10")]
    Version,
    #[error(transparent)]
    Key(#[from] PublicKeyError),
    #[error(transparent)]
    SignatureAlgorithm(#[from] SignatureAlgorithmError),
    #[error("its public key is not a point on the curve: make a new key")]
    OffCurve,
    #[error(
        "its signature does not verify with the key in it: make a new request, signed with that key"
    )]
    Signature,
    #[error("its subject has no common name: make the request with CN=<the requested name>")]
    NoCommonName,
    #[error("its subject has {0} common names: make the request with exactly one")]
    SeveralCommonNames(usize),
    /// A string type whose bytes differ from UTF-8.
    #[error("its common name has an unsupported string type: use UTF8String or PrintableString")]
    CommonNameType,
}

impl Csr {
    /// Parses the input of the SSH endpoint, base64 of PEM or DER, and checks its encoding,
    /// structure, key and signature.
    ///
    /// # Errors
    /// [`CsrError`], with the first check that fails.
    pub fn from_input(input: &[u8]) -> Result<Self, CsrError> {
        let bytes = decode_base64(input)?;
        let der = decode_pem_or_der(bytes)?;
        Ok(Self::from_der(&der)?)
    }

    /// Parses a request in PEM or DER, with the same checks.
    ///
    /// # Errors
    /// [`CsrError`], with the first check that fails.
    pub fn from_file(contents: Vec<u8>) -> Result<Self, CsrError> {
        let der = decode_pem_or_der(contents)?;
        Ok(Self::from_der(&der)?)
    }

    /// The common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> &[u8] {
        &self.common_name
    }

    /// The key that the request was signed with.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The public key, the only part of a request that enters a certificate.
    #[must_use]
    pub fn into_public_key(self) -> PublicKey {
        self.public_key
    }

    fn from_der(der: &[u8]) -> Result<Self, CsrCause> {
        let request = strict_der::single(der)?;
        let parts = request
            .inside(SEQUENCE)
            .ok_or(CsrCause::Structure("it is not a SEQUENCE"))?;
        let [info, algorithm, signature] = parts.as_slice() else {
            return Err(CsrCause::Structure("it does not have three parts"));
        };
        let fields = info
            .inside(SEQUENCE)
            .ok_or(CsrCause::Structure("its first part is not a SEQUENCE"))?;
        // RFC 2986, section 4.1 makes the attributes mandatory, but some tools omit them if there
        // are none. They are not read, so nothing depends on them.
        let (version, subject, spki) = match fields.as_slice() {
            [version, subject, spki] => (version, subject, spki),
            [version, subject, spki, attributes] if attributes.tag == ATTRIBUTES => {
                (version, subject, spki)
            }
            _ => {
                return Err(CsrCause::Structure(
                    "it does not consist of version, subject, key and attributes",
                ));
            }
        };
        if version.tag != INTEGER {
            return Err(CsrCause::Structure("its version is not an INTEGER"));
        }
        if version.contents != [0] {
            return Err(CsrCause::Version);
        }
        let public_key = PublicKey::from_spki(spki)?;
        verify(&public_key, info.encoding, algorithm, signature)?;
        Ok(Self {
            common_name: common_name(subject)?,
            public_key,
        })
    }
}

/// The identifier octet of `attributes [0]`.
const ATTRIBUTES: u8 = 0xa0;

fn decode_base64(input: &[u8]) -> Result<Vec<u8>, CsrCause> {
    const PEM_START: &[u8] = b"-----BEGIN ";
    let symbols: Vec<u8> = input
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if symbols.is_empty() {
        return Err(CsrCause::Empty);
    }
    if input.windows(PEM_START.len()).any(|at| at == PEM_START) {
        return Err(CsrCause::BarePem);
    }
    STANDARD.decode(&symbols).map_err(|error| {
        let stray = symbols
            .iter()
            .copied()
            .find(|b| !matches!(b, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'='));
        match (stray, error) {
            _ if matches!(input, [SEQUENCE, 0x81..=0x83, ..]) => CsrCause::BareDer,
            (Some(b'-' | b'_'), _) => CsrCause::UrlAlphabet,
            (Some(byte), _) => CsrCause::StrayByte(byte),
            (None, _) => CsrCause::Padding,
        }
    })
}

fn decode_pem_or_der(bytes: Vec<u8>) -> Result<Vec<u8>, CsrCause> {
    const BOUNDARY: &[u8] = b"-----BEGIN ";
    let blocks = bytes
        .windows(BOUNDARY.len())
        .filter(|at| *at == BOUNDARY)
        .count();
    match blocks {
        0 if bytes.first() == Some(&SEQUENCE) => return Ok(bytes),
        0 => return Err(CsrCause::NeitherPemNorDer),
        1 => {}
        _ => return Err(CsrCause::SeveralBlocks),
    }
    // DER may contain that text, too.
    if bytes.first() == Some(&SEQUENCE) && strict_der::single(&bytes).is_ok() {
        return Ok(bytes);
    }
    let parsed = pem::parse_many(&bytes).map_err(|_| CsrCause::BrokenPem)?;
    let block = parsed.into_iter().next().ok_or(CsrCause::BrokenPem)?;
    match block.tag() {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Ok(block.into_contents()),
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => Err(CsrCause::WrongLabel(
            "certificate, not a certificate request",
        )),
        tag if tag.ends_with("PRIVATE KEY") => Err(CsrCause::WrongLabel(
            "private key, which must never leave its host",
        )),
        tag if tag.ends_with("PUBLIC KEY") => Err(CsrCause::WrongLabel("public key")),
        _ => Err(CsrCause::WrongLabel("PEM block of another type")),
    }
}

/// Verifies the signature over the bytes of the CertificationRequestInfo (proof of possession).
fn verify(
    key: &PublicKey,
    info: &[u8],
    algorithm: &Element<'_>,
    signature: &Element<'_>,
) -> Result<(), CsrCause> {
    let algorithm = strict_der::algorithm(algorithm).ok_or(CsrCause::Structure(
        "its signature algorithm cannot be parsed",
    ))?;
    let verification = key.key_type().verification(&algorithm)?;
    let Some([0, signature @ ..]) = signature.contents_of(BIT_STRING) else {
        return Err(CsrCause::Structure(
            "its signature is not a BIT STRING of whole bytes",
        ));
    };
    UnparsedPublicKey::new(verification, key.subject_public_key())
        .verify(info, signature)
        .map_err(|_| {
            if key.is_on_curve() {
                CsrCause::Signature
            } else {
                CsrCause::OffCurve
            }
        })
}

/// The only common name among all relative distinguished names (RFC 5280, section 4.1.2.4).
fn common_name(subject: &Element<'_>) -> Result<Vec<u8>, CsrCause> {
    const NO_NAME: CsrCause = CsrCause::Structure("its subject is not a distinguished name");
    /// 2.5.4.3, as its contents octets.
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut values = Vec::new();
    for relative_name in subject.inside(SEQUENCE).ok_or(NO_NAME)? {
        for attribute in relative_name.inside(SET).ok_or(NO_NAME)? {
            let parts = attribute.inside(SEQUENCE).ok_or(NO_NAME)?;
            let [attribute_type, value] = parts.as_slice() else {
                return Err(NO_NAME);
            };
            let attribute_type = attribute_type.contents_of(OBJECT_IDENTIFIER);
            if attribute_type.ok_or(NO_NAME)? == COMMON_NAME {
                values.push(*value);
            }
        }
    }
    let [value] = values.as_slice() else {
        return Err(match values.len() {
            0 => CsrCause::NoCommonName,
            several => CsrCause::SeveralCommonNames(several),
        });
    };
    // UTF8String, PrintableString, TeletexString, IA5String: ASCII has the same bytes in all four.
    match value.tag {
        0x0c | 0x13 | 0x14 | 0x16 => Ok(value.contents.to_vec()),
        _ => Err(CsrCause::CommonNameType),
    }
}
