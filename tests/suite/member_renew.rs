//! `member renew` and `member fetch`: members' certificates that renew by themselves, through real
//! etcd; what is not renewed, and what is not taken.

mod bed;
mod checked;
mod confined;
mod deploy;
mod fetched;
mod killed;
mod renewed;
mod served;
