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
    /// The socket with these two addresses; `None` where there is none any more.
    ///
    /// Both are needed: a port that is taken again may stand in the table a second time, with a former connection that
    /// waits for its end and belongs to nobody.
    pub(crate) fn between(local: SocketAddr, remote: SocketAddr) -> Option<Self> {
        (0..LOOKS).find_map(|_| inode_of(local, remote)).map(|inode| Self(format!("socket:[{inode}]")))
    }

    /// Whether one of these processes holds it.
    pub(crate) fn is_held_by(&self, pids: &[u32]) -> bool {
        pids.iter().any(|pid| has_descriptor(*pid, Path::new(&self.0)).unwrap_or(false))
    }
}

/// The kernel's table says which inode the socket has, a process's descriptors say whether it holds that one: proc(5).
fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let (local, remote) = (as_printed(local)?, as_printed(remote)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let found = fields.next() == Some(&local) && fields.next() == Some(&remote);
        found.then(|| fields.nth(6).map(str::to_owned)).flatten()
    })
}

/// The table prints an address as the machine's own integer of the four bytes in network order.
fn as_printed(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
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
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn socket_of(client: &TcpStream) -> Option<Socket> {
        Socket::between(client.local_addr().unwrap(), client.peer_addr().unwrap())
    }

    #[tokio::test]
    async fn own_connection_is_found_and_not_with_another_process() {
        let (_listener, address) = listener().await;
        let client = TcpStream::connect(address).await.unwrap();
        let socket = socket_of(&client).unwrap();
        assert!(socket.is_held_by(&[1, std::process::id()]));
        assert!(!socket.is_held_by(&[1]));
        let nobody = "127.0.0.1:1".parse().unwrap();
        assert!(Socket::between(nobody, address).is_none());
    }

    #[tokio::test]
    async fn former_connection_of_the_same_port_is_not_taken_for_the_present_one() {
        let from_one_port = async |port, to| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
            socket.connect(to).await.unwrap()
        };
        // The table is in the order of a hash: in some of these rounds the former connection stands first.
        for _ in 0..20 {
            let ((first, first_address), (_second, second_address)) = (listener().await, listener().await);
            let former = from_one_port(0, first_address).await;
            let port = former.local_addr().unwrap().port();
            // Who closes first keeps the connection in TIME_WAIT.
            let (accepted, _) = first.accept().await.unwrap();
            drop(former);
            drop(accepted);
            let client = from_one_port(port, second_address).await;
            assert!(socket_of(&client).unwrap().is_held_by(&[std::process::id()]));
        }
    }
}
