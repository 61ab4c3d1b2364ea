//! etcd's JSON gateway, which every member has beside gRPC.

use std::time::Duration;

use serde::Deserialize;

/// How long one request may take: a member without quorum answers writes only after its own timeout of some seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// `triton-testkit` in Base64, as the gateway wants its keys.
const PROBE_KEY: &str = "dHJpdG9uLXRlc3RraXQ=";

/// Asks members of etcd, wherever they run; an endpoint is `host:port`.
#[derive(Debug, Clone)]
pub struct EtcdGateway {
    http: reqwest::Client,
}

/// What a member says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdStatus {
    /// The member.
    pub member: u64,
    /// Who leads as far as it knows; 0 for nobody.
    pub leader: u64,
    /// Raft's term.
    pub term: u64,
    /// The latest revision that it knows.
    pub revision: u64,
}

impl EtcdGateway {
    /// With a connection pool of its own.
    pub fn new() -> Self {
        Self { http: reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build().unwrap() }
    }

    /// Whether the member takes a write now, which needs a quorum that it can reach.
    pub async fn takes_writes(&self, endpoint: &str) -> bool {
        let body = format!(r#"{{"key":"{PROBE_KEY}","value":""}}"#);
        self.call(endpoint, "kv/put", body).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// How the member stands; none where it does not answer.
    pub async fn status(&self, endpoint: &str) -> Option<EtcdStatus> {
        let answer = self.call(endpoint, "maintenance/status", "{}".to_owned()).await.ok()?;
        let status: Status = answer.json().await.ok()?;
        // The gateway writes 64-bit numbers as text, and leaves out zeros.
        let number = |text: &str| text.parse().unwrap_or(0);
        Some(EtcdStatus {
            member: number(&status.header.member_id),
            leader: number(&status.leader),
            term: number(&status.raft_term),
            revision: number(&status.header.revision),
        })
    }

    /// Which of these members leads as far as it knows itself; of several, one may be cut off, the one of the latest term.
    pub async fn leader(&self, members: impl Iterator<Item = (usize, String)>) -> Option<usize> {
        let mut latest: Option<(u64, usize)> = None;
        for (number, endpoint) in members {
            let Some(status) = self.status(&endpoint).await else { continue };
            if status.leader == status.member && latest.is_none_or(|(term, _)| status.term > term) {
                latest = Some((status.term, number));
            }
        }
        latest.map(|(_, number)| number)
    }

    /// Forgets all revisions before this one.
    pub async fn compact(&self, endpoint: &str, revision: u64) {
        let body = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        let answer = self.call(endpoint, "kv/compaction", body).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn call(&self, endpoint: &str, method: &str, body: String) -> reqwest::Result<reqwest::Response> {
        self.http.post(format!("http://{endpoint}/v3/{method}")).body(body).send().await
    }
}

impl Default for EtcdGateway {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Deserialize)]
struct Status {
    header: Header,
    #[serde(default)]
    leader: String,
    #[serde(default, rename = "raftTerm")]
    raft_term: String,
}

#[derive(Debug, Deserialize)]
struct Header {
    member_id: String,
    #[serde(default)]
    revision: String,
}
