//! Which process holds the other end of a connection on this machine.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// Whether one of these processes holds the socket with this local address.
///
/// The kernel's table says which inode the socket has, the process's descriptors say whether it holds that one: proc(5).
pub(crate) fn holds(pids: &[u32], local: SocketAddr) -> bool {
    let Some(inode) = inode_of(local) else { return false };
    let socket = format!("socket:[{inode}]");
    pids.iter().any(|pid| has_descriptor(*pid, Path::new(&socket)).unwrap_or(false))
}

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
        assert!(holds(&[std::process::id()], local));
        assert!(!holds(&[1], local));
    }
}
