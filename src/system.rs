//! Services of the operating system: files, descriptors, processes, confinement. Nothing here is
//! about certificates.

pub(crate) mod account;
pub(crate) mod addresses;
pub(crate) mod child;
pub(crate) mod environment_file;
pub(crate) mod escape;
pub(crate) mod exit;
pub(crate) mod installed_file;
pub(crate) mod lock;
pub(crate) mod new_file;
pub(crate) mod output;
pub(crate) mod paths;
pub(crate) mod poll;
pub(crate) mod reach;
pub(crate) mod relro;
pub(crate) mod sandbox;
pub(crate) mod settings;
pub(crate) mod sockets;
pub(crate) mod sshd;
pub(crate) mod startup;
pub(crate) mod stdin;
pub(crate) mod trusted_file;
