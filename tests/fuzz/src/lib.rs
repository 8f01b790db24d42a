//! What the fuzz targets share: mutators that know the formats, and oracles that know the
//! contract and use none of the signer's own code.

pub mod der;
pub mod mutate;
pub mod oracle;
pub mod pem;
pub mod resign;
