//! What a record says in fields that this version does not know: kept aside when it is read, put back when it is written.

use serde_json::{Map, Value};

use super::Rest;

/// What `whole` says and `known` does not: the fields that are missing there, each at its place.
///
/// Lists are compared entry by entry; one of another length says nothing about its entries.
pub(crate) fn unknown(whole: Value, known: &Value) -> Rest {
    match beyond(whole, known) {
        Some(Value::Object(rest)) => rest,
        _ => Rest::new(),
    }
}

fn beyond(whole: Value, known: &Value) -> Option<Value> {
    match (whole, known) {
        (Value::Object(whole), Value::Object(known)) => {
            let field = |(name, value)| match known.get(&name) {
                None => Some((name, value)),
                Some(known) => beyond(value, known).map(|rest| (name, rest)),
            };
            let rest: Map<String, Value> = whole.into_iter().filter_map(field).collect();
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        (Value::Array(whole), Value::Array(known)) if whole.len() == known.len() => {
            let rest: Vec<Option<Value>> = whole.into_iter().zip(known).map(|(a, b)| beyond(a, b)).collect();
            let is_empty = rest.iter().all(Option::is_none);
            (!is_empty).then(|| rest.into_iter().map(Option::unwrap_or_default).collect())
        }
        _ => None,
    }
}

/// Puts back what was kept aside, wherever its place still is: a value that was replaced by another kind of value, or a
/// list whose length has changed, keeps nothing of what it was.
pub(crate) fn restore(value: &mut Value, rest: &Rest) {
    if let Value::Object(fields) = value {
        for (name, kept) in rest {
            match fields.get_mut(name) {
                None => drop(fields.insert(name.clone(), kept.clone())),
                Some(field) => restore_value(field, kept),
            }
        }
    }
}

fn restore_value(value: &mut Value, kept: &Value) {
    match (value, kept) {
        (value @ Value::Object(_), Value::Object(kept)) => restore(value, kept),
        (Value::Array(values), Value::Array(kept)) if values.len() == kept.len() => {
            for (value, kept) in values.iter_mut().zip(kept) {
                restore_value(value, kept);
            }
        }
        _ => {}
    }
}

/// Implements `Serialize` and `Deserialize` for records with a field `rest` on top of what serde derives for them with
/// `#[serde(remote = "Self")]`, so that fields of newer versions survive at any depth.
macro_rules! keeps_unknown_fields {
    ($($record:ident),+) => {$(
        impl serde::Serialize for $record {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let known = $record::serialize(self, serde_json::value::Serializer);
                let mut value = known.map_err(serde::ser::Error::custom)?;
                $crate::catalog::rest::restore(&mut value, &self.rest);
                serde::Serialize::serialize(&value, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $record {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let whole = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                let mut record = $record::deserialize(&whole).map_err(serde::de::Error::custom)?;
                let known = $record::serialize(&record, serde_json::value::Serializer);
                record.rest = $crate::catalog::rest::unknown(whole, &known.map_err(serde::de::Error::custom)?);
                Ok(record)
            }
        }
    )+};
}

pub(crate) use keeps_unknown_fields;

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::json;
    use triton_api::layout::LayoutRecord;

    use super::*;
    use crate::{
        catalog::{JobRecord, TrackRecord, TrashRecord, VideoRecord},
        cluster::{migration::MigrationRecord, replacement::Replacements, staged::StagedLayout},
        pipeline::Plan,
    };

    const VIDEO: &str = "AZkAAAAAcACAAAAAAAAAAQ";
    const NODE: &str = "01990000-0000-7000-8000-000000000002";
    const THEN: &str = "2026-01-02T03:04:05Z";

    fn node() -> Value {
        json!({"id": NODE, "url": "http://127.0.0.1:8090", "zone": "z", "weight": 100, "state": "active"})
    }

    fn layout() -> Value {
        json!({"epoch": 1, "replicas": 1, "nodes": [node(), node()], "table": [[0], [1]], "digest": "d"})
    }

    fn video() -> Value {
        let rendition = json!({"name": "360p", "width": 640, "height": 360, "bitrate_bps": 1, "codecs": "avc1"});
        let caption =
            json!({"language": "en", "label": null, "kind": "subtitles", "file": "0.vtt", "blake3": "00".repeat(32)});
        let published = json!({"generation": 1, "duration_ms": 1, "width": 640, "height": 360, "poster": true,
            "storyboard": true, "renditions": [rendition, rendition], "captions": [caption]});
        json!({"v": 1, "id": VIDEO, "title": "t", "description": "", "visibility": "public", "state": "ready",
            "reason": null, "created_at": THEN, "original": {"len_bytes": 1, "file_name": "f"}, "generation": 1,
            "published": published, "captions": [caption, caption], "uploader": null})
    }

    fn job() -> Value {
        json!({"v": 1, "video_id": VIDEO, "generation": 1, "kind": {"name": "chunk", "index": 0}, "priority": 0,
            "cost_frames": 1, "state": "running", "failures": 0, "lost_leases": 0, "leases": 1,
            "lease": {"worker": "w", "token": 1, "expires_at": THEN}, "not_before": THEN, "progress": 0.5,
            "last_error": null, "result": {"tracks": [{"a": 1}]}, "created_at": THEN})
    }

    fn plan() -> Plan {
        let start = json!({"ticks": 0, "numerator": 1, "denominator": 1});
        let video = json!({"index": 0, "codec": "h264", "width": 854, "height": 480, "frame_rate": "30", "frames": 90,
            "start": start, "interlaced": false, "pixel_format": "yuv420p", "colour": "bt709"});
        let track = json!({"index": 2, "codec": "subrip", "language": null, "title": "t", "hearing_impaired": true});
        let info = json!({"demuxer": "mov", "video": video, "audio": [], "captions": [track]});
        Plan::new(serde_json::from_value(info).unwrap())
    }

    /// Adds a field to every object, at any depth.
    fn from_the_future(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(from_the_future);
                fields.insert("future".to_owned(), json!({"of": ["any", {"shape": 1}]}));
            }
            Value::Array(values) => values.iter_mut().for_each(from_the_future),
            _ => {}
        }
    }

    #[track_caller]
    fn keeps_everything<T: Serialize + DeserializeOwned>(plain: &Value) -> T {
        let mut newer = plain.clone();
        from_the_future(&mut newer);
        for value in [plain, &newer] {
            let record: T = serde_json::from_str(&value.to_string()).unwrap();
            let again: Value = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
            assert_eq!(again, *value);
        }
        serde_json::from_value(newer).unwrap()
    }

    #[test]
    fn every_record_keeps_fields_of_newer_versions_at_every_depth() {
        keeps_everything::<VideoRecord>(&video());
        keeps_everything::<JobRecord>(&job());
        for kind in [
            json!({"name": "video", "width": 1, "height": 1, "frame_rate": "30"}),
            json!({"name": "audio", "language": null, "title": "t"}),
        ] {
            keeps_everything::<TrackRecord>(&json!({"v": 1, "position": 0, "name": "360p", "codecs": "c",
                "timescale": 1, "segments": [[1, 2], [3, 4]], "kind": kind}));
        }
        keeps_everything::<TrashRecord>(&json!({"v": 1, "video_id": VIDEO, "generation": 1, "parts": 1,
            "renditions": ["360p"], "segments": 1, "captions": ["0.vtt"], "not_before": THEN}));
        keeps_everything::<LayoutRecord>(&json!({"current": layout(), "next": layout()}));
        keeps_everything::<StagedLayout>(&json!({"nodes": [{"node": node(), "remove": true}]}));
        keeps_everything::<MigrationRecord>(&json!({"from": 1, "to": 2, "phase": "copying", "paused": false,
            "aborting": false, "partitions_total": 1, "done": "00".repeat(128), "bytes_total": 1, "bytes_done": 0,
            "bytes_per_second": 0, "errors": ["e"], "removals": [NODE], "reason": null, "started_at": THEN, "committed_at": null}));
        keeps_everything::<Replacements>(&json!({"nodes": [{"id": NODE, "down_since": THEN, "replaced_at": THEN,
            "taken_back_at": null}]}));
        let (plain, with_extra) = (json!(plan()), json!(plan().with_extra()));
        assert!(plain.get("extra").is_none(), "an older version would find a field that it does not know");
        assert_eq!(keeps_everything::<Plan>(&plain).extra, []);
        assert_eq!(keeps_everything::<Plan>(&with_extra).extra.len(), 1);
    }

    #[test]
    fn a_change_keeps_what_is_still_there_and_nothing_of_what_was_replaced() {
        let mut job: JobRecord = keeps_everything(&job());
        job.lease = None;
        job.failures = 3;
        let written = serde_json::to_value(&job).unwrap();
        assert_eq!((&written["lease"], &written["failures"]), (&Value::Null, &json!(3)));
        assert!(written["kind"].get("future").is_some() && written.get("future").is_some());
        let mut video: VideoRecord = keeps_everything(&video());
        let mut published = video.published.take().unwrap();
        published.renditions.pop();
        published.rest = Rest::new();
        video.published = Some(published);
        video.original.len_bytes = 7;
        let written = serde_json::to_value(&video).unwrap();
        assert!(written["original"].get("future").is_some());
        assert_eq!(written["published"].get("future"), None, "the next generation inherits nothing");
    }
}
