//! Loading all records: at the first start, and where etcd has dropped the changes that are missing here.

use etcd_client::{GetOptions, GetResponse, KeyValue};

use super::{
    EtcdError, EtcdJournal,
    follow::foreign,
    keys,
    transaction::{revision, stored},
};
use crate::{
    journal::{RecordKey, Revision},
    store::IncomingRecord,
};

/// Records of one page, and the largest answer: as many of the largest records fit in.
const PAGE: i64 = 50;
const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

impl EtcdJournal {
    /// Makes the local records those of etcd at one revision. Readers see the former ones until all are there.
    pub(super) async fn load_anew(&self) -> Result<(), EtcdError> {
        metrics::counter!("triton_journal_reloads_total").increment(1);
        self.store.clear_incoming().await?;
        let mut records = 0;
        let mut snapshot = None;
        let mut from = keys::RECORDS.as_bytes().to_vec();
        let (cluster, at) = loop {
            let page = self.page(&from, snapshot).await?;
            let header = page
                .header()
                .ok_or(EtcdError::Timeout { operation: "loading", waited: super::members::ATTEMPT_TIMEOUT })?;
            let at = *snapshot.get_or_insert(revision(header.revision()));
            let incoming: Vec<IncomingRecord> = page.kvs().iter().filter_map(incoming).collect();
            records += incoming.len();
            self.store.take_in(&incoming).await?;
            match page.kvs().last() {
                // The key that comes next: this one with a zero byte behind.
                Some(last) if page.more() => from = [last.key(), &[0]].concat(),
                _ => break (header.cluster_id(), at),
            }
        };
        self.store.become_incoming(at, cluster).await?;
        self.standing.begin_at(at);
        tracing::info!(records, revision = at.get(), "the records were loaded from etcd");
        Ok(())
    }

    async fn page(&self, from: &[u8], snapshot: Option<Revision>) -> Result<GetResponse, EtcdError> {
        // "0" comes right after "/": the range ends where the keys of records do.
        let end = format!("{}0", keys::RECORDS.trim_end_matches('/'));
        let options = GetOptions::new().with_range(end).with_limit(PAGE).with_revision(snapshot.map_or(0, stored));
        self.members
            .ask_any("loading records", |client| {
                let mut client = client.kv_client().max_decoding_message_size(PAGE_BYTES_MAX);
                let (from, options) = (from.to_vec(), options.clone());
                async move { client.get(from, Some(options)).await }
            })
            .await
    }
}

fn incoming(kv: &KeyValue) -> Option<IncomingRecord> {
    let key = kv.key_str().ok().and_then(|key| key.strip_prefix(keys::RECORDS));
    let (Some(key), Ok(json)) = (key, kv.value_str()) else { return foreign(kv) };
    let revision = revision(kv.mod_revision());
    Some(IncomingRecord { key: RecordKey::from_stored(key.to_owned()), revision, json: json.to_owned() })
}
