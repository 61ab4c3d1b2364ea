//! Where etcd answers: `etcd://HOST:PORT,HOST:PORT`.

use std::str::FromStr;

use thiserror::Error;

/// The members of an etcd cluster to speak to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdAddress {
    endpoints: Vec<String>,
}

/// The text is no address of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no address of etcd: use etcd://HOST:PORT,HOST:PORT,...")]
pub struct EtcdAddressError(String);

impl EtcdAddress {
    /// The members as `http://host:port`, in the order in which they were named.
    pub(super) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }
}

impl FromStr for EtcdAddress {
    type Err = EtcdAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EtcdAddressError(text.to_owned());
        let members = text.strip_prefix("etcd://").ok_or_else(error)?.trim_end_matches('/');
        let endpoint = |member: &str| {
            let url: url::Url = format!("http://{}", member.trim()).parse().ok()?;
            let is_bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
            let host = url.host_str().filter(|_| is_bare)?;
            // The url crate leaves out the port where it is 80.
            member.contains(':').then(|| format!("http://{host}:{}", url.port().unwrap_or(80)))
        };
        let endpoints: Option<Vec<String>> = members.split(',').map(endpoint).collect();
        Ok(Self { endpoints: endpoints.filter(|endpoints| !endpoints.is_empty()).ok_or_else(error)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_separated_by_commas_and_have_ports() {
        let address: EtcdAddress = "etcd://a:2379, 10.0.0.2:80,[::1]:2379/".parse().unwrap();
        assert_eq!(address.endpoints(), ["http://a:2379", "http://10.0.0.2:80", "http://[::1]:2379"]);
        for bad in
            ["etcd://", "etcd://a", "http://a:1", "etcd://a:x", "etcd://a:1,,b:2", "etcd://a:1/path", "etcd://u@a:1"]
        {
            assert!(bad.parse::<EtcdAddress>().is_err(), "{bad}");
        }
    }
}
