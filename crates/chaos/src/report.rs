//! The report, in Markdown.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{
    breach::Breach,
    harm::{Kind, Parts},
    latency::median,
    ledger::{Books, Ledger},
    run::Plan,
    verdict::Ending,
};

/// Writes the report of a run.
pub(crate) fn write(plan: &Plan, parts: Parts, ledger: &Ledger, books: &Books, ending: &Ending) -> String {
    let mut text = String::new();
    let sections = [
        head(plan, parts, ledger),
        verdict(books),
        workload(books, ending),
        writes(books),
        disturbances(books),
        cluster(books, ending),
        breaches(books),
    ];
    for section in sections.into_iter().filter(|section| !section.is_empty()) {
        text.push_str(&section);
        text.push('\n');
    }
    text
}

fn head(plan: &Plan, parts: Parts, ledger: &Ledger) -> String {
    format!(
        "# Chaos report\n\nFleet: {}. {} storage nodes (spare ones included), {} web services, {} workers, {} members of etcd.\n\
         Seed {}, {} s of disturbances, begun {}.\n",
        plan.title,
        parts.storage,
        parts.webs,
        parts.workers,
        parts.etcd,
        plan.seed,
        plan.duration.as_secs(),
        ledger.began_at.strftime("%Y-%m-%d %H:%M UTC"),
    )
}

fn verdict(books: &Books) -> String {
    let rows = Breach::ALL.map(|breach| row(&[breach.words().to_owned(), books.count(breach).to_string()]));
    let broken: u64 = Breach::ALL.into_iter().map(|breach| books.count(breach)).sum();
    let word = if broken == 0 { "Every promise was kept." } else { "PROMISES WERE BROKEN." };
    format!("## Verdict\n\n{word}\n\n{}{}", table(&["promise broken", "times"]), rows.concat())
}

fn workload(books: &Books, ending: &Ending) -> String {
    let reads = &books.reads;
    let mut rows = vec![
        pair("media reads", reads.answered),
        pair("of these ranges", reads.ranges),
        pair("of these on the other web service, the own one being harmed", reads.on_other),
        pair("bytes read and compared", reads.bytes),
        pair("median read, the own web service being well (ms)", reads.latencies.quantile(0.5).as_millis()),
        pair("99th percentile (ms)", reads.latencies.quantile(0.99).as_millis()),
        pair("longest (ms)", reads.latencies.max().as_millis()),
        pair("lists and searches", books.listings),
        pair("uploads acknowledged", books.uploads.len()),
    ];
    let mut how: BTreeMap<_, u64> = BTreeMap::new();
    books.uploads.iter().for_each(|upload| *how.entry(upload.how).or_default() += 1);
    rows.extend(how.iter().map(|(how, count)| pair(&format!("of these by {how}"), *count)));
    rows.push(pair("of these played and compared at the end, over all web services", ending.verified));
    rows.extend(books.upload_attempts.iter().map(|(what, count)| pair(&format!("upload attempts: {what}"), *count)));
    let mut videos: Vec<_> = ending.videos.iter().collect();
    videos.sort();
    rows.extend(videos.into_iter().map(|(state, count)| pair(&format!("videos {state} at the end"), *count)));
    rows.extend(ending.jobs.iter().map(|(what, count)| pair(what, *count)));
    let edits = books.edits;
    rows.extend([
        pair("edits acknowledged", edits.acknowledged),
        pair("edits refused, for another came first", edits.conflicts),
        pair("edits refused, for nothing could be written", edits.refused),
        pair("edits whose answer was lost", edits.unknown),
        pair("edits not tried, for there was no ETag", edits.without_etag),
    ]);
    rows.extend(books.admin.iter().map(|(act, count)| pair(&format!("admin: {act}"), *count)));
    rows.extend(books.findings.iter().map(|(what, count)| pair(what, *count)));
    format!("## Workload\n\n{}{}", table(&["what", "count"]), rows.concat())
}

fn writes(books: &Books) -> String {
    let writes = books.writes;
    let mut rows = vec![
        pair("probing writes acknowledged", writes.acknowledged),
        pair("answered 503", writes.unavailable),
        pair("answered otherwise or not at all", writes.failed),
        pair("answered 503 with Retry-After as problem+json while all of etcd was away", writes.honest_refusals),
    ];
    for kind in [Kind::EtcdLeaderKilled, Kind::EtcdStopped] {
        let away = books.outages_of(kind);
        if let (Some(least), Some(most)) = (away.iter().min(), away.iter().max()) {
            let all: Vec<_> = away.iter().map(|away| seconds(*away)).collect();
            let text = format!(
                "median {}, from {} to {}: {}",
                seconds(median(&away)),
                seconds(*least),
                seconds(*most),
                all.join(", ")
            );
            let from = if kind == Kind::EtcdStopped { "after it was started again" } else { "after the kill" };
            rows.push(row(&[format!("{}: writes on all web services {from} (s)", kind.words()), text]));
        }
    }
    format!("## Writes\n\n{}{}", table(&["what", "count"]), rows.concat())
}

fn disturbances(books: &Books) -> String {
    let mut kinds: BTreeMap<Kind, Vec<_>> = BTreeMap::new();
    for disturbance in &books.disturbances {
        kinds.entry(disturbance.kind).or_default().push(disturbance);
    }
    let mut text =
        format!("## Disturbances\n\n{}", table(&["kind", "times", "held in all (s)", "longest recovery (s)"]));
    for (kind, all) in &kinds {
        let held: Duration = all.iter().map(|disturbance| disturbance.held).sum();
        let recovery = all.iter().filter_map(|disturbance| disturbance.recovered_after).max().unwrap_or_default();
        text += &row(&[kind.words().to_owned(), all.len().to_string(), seconds(held), seconds(recovery)]);
    }
    text.push('\n');
    text += &table(&["at (s)", "what", "held (s)", "well again after (s)"]);
    for disturbance in &books.disturbances {
        let recovered = disturbance.recovered_after.map_or_else(|| "never".to_owned(), seconds);
        text += &row(&[seconds(disturbance.at), disturbance.what.clone(), seconds(disturbance.held), recovered]);
    }
    text
}

fn cluster(books: &Books, ending: &Ending) -> String {
    let replicas = &ending.replicas;
    let mut text = format!("## The cluster at the end\n\n{}", table(&["what", "count"]));
    text += &pair("seconds until it was at rest", ending.settled_after.as_secs());
    text += &pair("committed epoch", replicas.epoch);
    text += &pair("epochs seen committed", books.epochs.len());
    text += &pair("layouts seen on nodes", books.layouts_seen);
    text += &pair("active nodes", replicas.nodes);
    text += &pair("replicas (R)", replicas.wanted);
    text += &pair("partitions with content", replicas.partitions);
    text += &pair("blobs, each with R equal copies unless said otherwise above", replicas.blobs);
    text += &pair("copies on nodes that hold them no more", replicas.surplus);
    if !books.leaders.is_empty() {
        text += "\nWho led, as the web services said:\n\n";
        for (at, leader) in &books.leaders {
            writeln!(text, "- from {} s: {leader}", seconds(*at)).unwrap_or_default();
        }
    }
    text
}

fn breaches(books: &Books) -> String {
    let mut text = String::new();
    for breach in Breach::ALL.into_iter().filter(|breach| books.count(*breach) > 0) {
        writeln!(text, "### {} ({})\n", breach.words(), books.count(breach)).unwrap_or_default();
        books.texts(breach).iter().for_each(|line| writeln!(text, "- {line}").unwrap_or_default());
        text.push('\n');
    }
    if text.is_empty() { text } else { format!("## What was broken\n\n{text}") }
}

fn table(columns: &[&str]) -> String {
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn pair(what: &str, count: impl std::fmt::Display) -> String {
    row(&[what.to_owned(), count.to_string()])
}

fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f32())
}
