//! Services of the operating system: files, descriptors, processes, confinement. Nothing here is
//! about certificates.

pub(crate) mod account;
pub(crate) mod child;
pub(crate) mod escape;
pub(crate) mod exit;
pub(crate) mod new_file;
pub(crate) mod output;
pub(crate) mod poll;
pub(crate) mod reach;
pub(crate) mod relro;
pub(crate) mod sandbox;
pub(crate) mod settings;
pub(crate) mod startup;
pub(crate) mod stdin;
pub(crate) mod trusted_file;
