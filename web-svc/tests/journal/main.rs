//! The journals: the contract that all of them keep, and what each one promises beyond it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod contract;
mod etcd;
mod history;
mod late;
mod linearizable;
mod process;
mod sqlite;
