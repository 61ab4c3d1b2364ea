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
        breaches(books),
        reads(books),
        uploads(books, ending),
        edits(books),
        administration(books),
        outages(books),
        disturbances(books),
        cluster(books, ending),
        timeline(books),
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

fn reads(books: &Books) -> String {
    let reads = &books.reads;
    let ms = |time: Duration| time.as_millis();
    let rows = [
        pair("media reads", reads.answered),
        pair("of these ranges", reads.ranges),
        pair("of these on the other web service, the own one being harmed", reads.on_other),
        pair("bytes read and compared", reads.bytes),
        pair("median, the own web service being well (ms)", ms(reads.latencies.quantile(0.5))),
        pair("99th percentile (ms)", ms(reads.latencies.quantile(0.99))),
        pair("longest (ms)", ms(reads.latencies.max())),
        pair("the longest", &reads.slowest),
        pair("lists, searches and looks at a video", books.listings),
    ];
    counts("Reads", &rows)
}

fn uploads(books: &Books, ending: &Ending) -> String {
    let mut rows = vec![pair("acknowledged", books.uploads.len())];
    let mut how: BTreeMap<_, u64> = BTreeMap::new();
    books.uploads.iter().for_each(|upload| *how.entry(upload.how).or_default() += 1);
    rows.extend(how.iter().map(|(how, count)| pair(&format!("of these by {how}"), *count)));
    rows.push(pair("played, downloaded and compared at the end, over all web services", ending.verified));
    rows.extend(books.upload_attempts.iter().map(|(what, count)| pair(&format!("attempts: {what}"), *count)));
    let mut videos: Vec<_> = ending.videos.iter().collect();
    videos.sort();
    rows.extend(videos.into_iter().map(|(state, count)| pair(&format!("videos {state} at the end"), *count)));
    rows.extend(ending.jobs.iter().map(|(what, count)| pair(what, *count)));
    rows.extend(books.findings.iter().map(|(what, count)| pair(what, *count)));
    counts("Uploads", &rows)
}

fn edits(books: &Books) -> String {
    let (edits, writes) = (books.edits, books.writes);
    let rows = [
        pair("edits of one video with If-Match, acknowledged", edits.acknowledged),
        pair("answered 412, for another edit came first", edits.conflicts),
        pair("answered 503, for nothing could be written", edits.refused),
        pair("whose answer was lost", edits.unknown),
        pair("not tried, for there was no ETag", edits.without_etag),
        pair("lost", books.count(Breach::LostUpdate)),
        pair("probing writes without If-Match, acknowledged", writes.acknowledged),
        pair("answered 503 with Retry-After as problem+json", writes.refused),
        pair("of these while all of etcd was away", writes.refused_without_etcd),
        pair("answered 409, for other writes came first again and again", writes.conflicts),
        pair("not answered, the web service being harmed itself", writes.excused),
        pair("not answered in time otherwise", writes.unanswered),
    ];
    counts("Writes", &rows)
}

fn administration(books: &Books) -> String {
    let rows: Vec<_> = books.admin.iter().map(|(act, count)| pair(act, *count)).collect();
    counts("Changes of nodes by the admin", &rows)
}

/// Every kill of etcd's leader, and every time without etcd.
fn outages(books: &Books) -> String {
    let mut text = String::new();
    for (kind, since) in [(Kind::EtcdLeaderKilled, "the kill"), (Kind::EtcdStopped, "it was started again")] {
        let away = books.outages_of(kind);
        if away.is_empty() {
            continue;
        }
        writeln!(
            text,
            "## Writes after: {}\n\n{} times; writes succeeded on all web services again {} s after {since} in the median, \
             {} s at the latest.\n",
            kind.words(),
            away.len(),
            seconds(median(&away)),
            seconds(away.iter().max().copied().unwrap_or_default()),
        )
        .unwrap_or_default();
        text += &table(&["at (s)", "what", "writes after (s)"]);
        for outage in books.outages.iter().filter(|outage| outage.kind == kind) {
            text += &row(&[seconds(outage.at), outage.harm.to_string(), seconds(outage.writes_after)]);
        }
        text.push('\n');
    }
    text
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
    text
}

/// What was done when, one line a minute; in parentheses for how many seconds.
fn timeline(books: &Books) -> String {
    let mut minutes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for disturbance in &books.disturbances {
        let what = format!("{} ({})", disturbance.what, seconds(disturbance.held));
        minutes.entry(disturbance.at.as_secs() / 60).or_default().push(what);
    }
    let line = |(minute, all): (u64, Vec<String>)| format!("- minute {}: {}\n", minute + 1, all.join("; "));
    format!("## Timeline\n\n{}", minutes.into_iter().map(line).collect::<String>())
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

fn counts(title: &str, rows: &[String]) -> String {
    format!("## {title}\n\n{}{}", table(&["what", "count"]), rows.concat())
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
