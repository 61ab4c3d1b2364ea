//! Which process holds the other end of a connection on this machine.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// Looks at the kernel's table before a socket counts as gone: a table that changes while it is read can miss a line.
const LOOKS: u32 = 20;

/// A socket on this machine, by its inode.
#[derive(Debug, Clone)]
pub(crate) struct Socket(String);

impl Socket {
    /// The socket with this local address; `None` where there is none any more.
    pub(crate) fn at(local: SocketAddr) -> Option<Self> {
        (0..LOOKS).find_map(|_| inode_of(local)).map(|inode| Self(format!("socket:[{inode}]")))
    }

    /// Whether one of these processes holds it.
    pub(crate) fn is_held_by(&self, pids: &[u32]) -> bool {
        pids.iter().any(|pid| has_descriptor(*pid, Path::new(&self.0)).unwrap_or(false))
    }
}

/// The kernel's table says which inode the socket has, a process's descriptors say whether it holds that one: proc(5).
fn inode_of(local: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = local.ip() else { return None };
    // The address is printed as the machine's own integer of the four bytes in network order.
    let address = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), local.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        (fields.next() == Some(&address)).then(|| fields.nth(7).map(str::to_owned)).flatten()
    })
}

fn has_descriptor(pid: u32, target: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed between the listing and the look.
        if fs::read_link(entry?.path()).is_ok_and(|link| link == target) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn own_connection_is_found_and_not_with_another_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let local = client.local_addr().unwrap();
        let socket = Socket::at(local).unwrap();
        assert!(socket.is_held_by(&[1, std::process::id()]));
        assert!(!socket.is_held_by(&[1]));
        drop((client, listener));
        assert!(Socket::at("127.0.0.1:1".parse().unwrap()).is_none());
    }
}
