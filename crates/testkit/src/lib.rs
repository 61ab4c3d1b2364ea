//! Dev-only: real services as child processes, on free ports, with a kill switch.
//!
//! Everything here panics when something goes wrong: it is for tests, and a test has nothing better to do.
#![expect(clippy::unwrap_used, reason = "for tests only, which fail by panicking")]

mod cluster;
mod etcd;
mod gateway;
pub mod media;
mod owner;
mod port;
mod process;
mod proxy;
mod storage;
mod wait;
mod web;

pub use cluster::Cluster;
pub use etcd::{Etcd, EtcdMember, EtcdOptions};
pub use gateway::{EtcdGateway, EtcdStatus};
pub use port::free_port;
pub use process::{Process, Program};
pub use proxy::{Cut, Fault, Proxy};
pub use storage::{StorageNode, content};
pub use wait::eventually;
pub use web::WebService;
