//! Captions: those of the file, those that are uploaded, and what becomes of both.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use serde_json::Value;
use triton_api::{
    Language, VideoId,
    caption::{Caption, CaptionKind, CaptionOrigin, CaptionQuery},
    video::{Video, VideoState},
};
use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE};

const ENGLISH: &str =
    "1\n00:00:00,500 --> 00:00:01,500\nTom & Jerry <i>sing</i>\n\n2\n00:00:02,000 --> 00:00:09,000\nto the end\n";
const GERMAN: &str = "1\n00:00:01,000 --> 00:00:02,000\nÄrger & Freude\n";
const UPLOADED: &str = "1\r\n00:00:01,000 --> 00:00:02,000\r\n{\\an8}<font color=red>uploaded</font>\r\n";

/// A film of three seconds with English and German text tracks.
fn film(dir: &Path) -> PathBuf {
    let clip = media::clip(dir, "clip.mp4", 3, "320x180");
    std::fs::write(dir.join("en.srt"), ENGLISH).unwrap();
    std::fs::write(dir.join("de.srt"), GERMAN).unwrap();
    let film = dir.join("film.mkv");
    let inputs = [&clip, &dir.join("en.srt"), &dir.join("de.srt")].map(|path| path.to_str().unwrap().to_owned());
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(inputs.iter().flat_map(|input| ["-i", input]))
        .args("-map 0 -map 1 -map 2 -c copy -c:s:0 srt -c:s:1 ass".split(' '))
        .args(["-metadata:s:s:0", "language=eng", "-metadata:s:s:0", "title=Full", "-metadata:s:s:1", "language=ger"])
        .args(["-disposition:s:0", "hearing_impaired"])
        .arg(&film)
        .status();
    assert!(made.unwrap().success());
    film
}

fn language(tag: &str) -> Language {
    tag.parse().unwrap()
}

async fn put(web: &WebService, id: VideoId, tag: &str, file: impl Into<Bytes>) -> Caption {
    web.client().put_captions(id, &language(tag), &CaptionQuery::default(), file.into()).await.unwrap()
}

/// Languages and origins.
async fn offered(web: &WebService, id: VideoId) -> Vec<(String, CaptionOrigin)> {
    let list = web.client().captions(id).await.unwrap();
    assert_eq!((list.next_cursor, &list.items), (None, &web.client().video(id).await.unwrap().captions));
    list.items.iter().map(|caption| (caption.language.to_string(), caption.origin)).collect()
}

async fn blobs(web: &WebService) -> u64 {
    web.node().info().await.unwrap().blobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_tracks_of_a_file_are_offered_everywhere_and_go_with_the_video() {
    let dir = tempfile::tempdir().unwrap();
    let web = WebService::start(&[]).await;
    let id = web.upload(&film(dir.path())).await.id;
    let video = web.ready(id, READY_DEADLINE).await;
    assert_eq!(
        offered(&web, id).await,
        [("de".to_owned(), CaptionOrigin::Embedded), ("en".to_owned(), CaptionOrigin::Embedded)]
    );
    let english = &video.captions[1];
    assert_eq!((english.label.as_deref(), english.kind), (Some("Full"), CaptionKind::Captions));
    assert_eq!(
        web.text(&english.url).await,
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nTom &amp; Jerry <i>sing</i>\n\n00:00:02.000 --> 00:00:03.000\nto the end\n"
    );
    assert_eq!(web.text(&video.captions[0].url).await, "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nÄrger &amp; Freude\n");
    assert_manifests(&web, &video).await;
    assert_revalidated(&web, &english.url).await;

    // What is uploaded hides what is embedded, and not for ever.
    let whole = blobs(&web).await;
    put(&web, id, "EN", UPLOADED).await;
    assert_eq!(offered(&web, id).await[1], ("en".to_owned(), CaptionOrigin::Uploaded));
    assert!(web.text(&format!("/media/{id}/captions/en.vtt")).await.contains("uploaded"));
    web.client().delete_captions(id, &language("en")).await.unwrap();
    assert_eq!(web.text(&english.url).await.matches(" --> ").count(), 2);
    let refused = web.client().delete_captions(id, &language("en")).await.unwrap_err();
    assert!(refused.to_string().contains("own file"), "{refused}");
    eventually(SETTLE_DEADLINE, || async { blobs(&web).await == whole }).await;

    put(&web, id, "fr", UPLOADED).await;
    web.client().delete(id).await.unwrap();
    assert_eq!(status(&web, &format!("/media/{id}/captions/fr.vtt")).await, 404);
    eventually(SETTLE_DEADLINE, || async { blobs(&web).await == 0 }).await;
}

async fn status(web: &WebService, path: &str) -> u16 {
    reqwest::get(format!("{}{path}", web.origin)).await.unwrap().status().as_u16()
}

/// MPD and HLS name the captions, what they name is there, and a player still decodes everything.
async fn assert_manifests(web: &WebService, video: &Video) {
    let playback = video.playback.as_ref().unwrap();
    let (mpd, master) = (web.text(&playback.dash).await, web.text(&playback.hls).await);
    for tag in ["de", "en"] {
        let base = format!("<BaseURL>../captions/{tag}.vtt</BaseURL>");
        assert!(mpd.contains(&base) && mpd.contains(&format!("lang=\"{tag}\"")), "{mpd}");
        let uri = format!("URI=\"captions/{tag}.m3u8\",GROUP-ID=\"captions\",LANGUAGE=\"{tag}\"");
        assert!(master.contains(&uri), "{master}");
        let playlist = web.text(&format!("/media/{}/captions/{tag}.m3u8", video.id)).await;
        assert!(playlist.contains("#EXTINF:3") && playlist.contains(&format!("\n{tag}.vtt\n")), "{playlist}");
    }
    assert!(
        master.lines().filter(|line| line.contains("STREAM-INF")).all(|line| line.contains("SUBTITLES=\"captions\""))
    );
    assert_eq!(media::complaints(&format!("{}{}", web.origin, playback.dash)), "");
    // This ffmpeg knows the tag and says that it can do nothing with it.
    let complaints = media::complaints(&format!("{}{}", web.origin, playback.hls));
    let others: Vec<&str> = complaints.lines().filter(|line| !line.contains("Can't support the subtitle")).collect();
    assert_eq!(others, Vec::<&str>::new());
    assert_eq!(
        texts(&format!("{}{}", web.origin, playback.dash)),
        ["Ärger & Freude", "Tom & Jerry <i>sing</i>", "to the end"]
    );
}

/// The texts that ffmpeg finds by way of a manifest.
fn texts(url: &str) -> Vec<String> {
    let read = |track: &str| {
        let arguments = ["-v", "error", "-nostdin", "-i", url, "-map", track, "-f", "srt", "-"];
        let output = Command::new("ffmpeg").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let is_text = |line: &&str| !line.is_empty() && !line.contains("-->") && line.parse::<u32>().is_err();
        text.lines().filter(is_text).map(str::to_owned).collect::<Vec<_>>()
    };
    [read("0:s:0"), read("0:s:1")].concat()
}

async fn assert_revalidated(web: &WebService, path: &str) {
    let url = format!("{}{path}", web.origin);
    let first = reqwest::get(&url).await.unwrap();
    assert_eq!(first.headers()["content-type"], "text/vtt; charset=utf-8");
    assert_eq!(first.headers()["cache-control"], "public, no-cache");
    let tag = first.headers()["etag"].clone();
    let again = reqwest::Client::new().get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_replaces_the_former_one_and_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let web = WebService::start(&[]).await;
    let id = web.upload(&media::clip(dir.path(), "clip.mp4", 1, "160x90")).await.id;
    web.ready(id, READY_DEADLINE).await;
    let without = blobs(&web).await;

    let http = reqwest::Client::new();
    let url = format!("{}/api/v1/videos/{id}/captions/pt-br?label=Legendas&kind=captions", web.origin);
    let send = |body: &'static str| http.put(&url).header("content-type", "application/x-subrip").body(body).send();
    let created = send(UPLOADED).await.unwrap();
    assert_eq!(created.status(), 201);
    let first: Caption = created.json().await.unwrap();
    assert_eq!((first.language.as_str(), first.label.as_deref()), ("pt-BR", Some("Legendas")));
    assert_eq!((first.kind, first.origin), (CaptionKind::Captions, CaptionOrigin::Uploaded));
    assert_eq!(web.text(&first.url).await, "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nuploaded\n");

    let again = send(UPLOADED).await.unwrap();
    assert_eq!((again.status().as_u16(), again.json::<Caption>().await.unwrap()), (200, first.clone()));
    assert_eq!(blobs(&web).await, without + 1, "the same again is not stored again");

    let other = "WEBVTT\n\n00:01.000 --> 00:02.000 line:0\n<v Ann>other\n";
    let second: Caption = send(other).await.unwrap().json().await.unwrap();
    assert_ne!(second.url, first.url, "a player sees by the address that the text is another");
    // Back to the first text, whose key may be deleted already.
    eventually(SETTLE_DEADLINE, || async { blobs(&web).await == without + 1 }).await;
    assert_eq!(send(UPLOADED).await.unwrap().status(), 200);
    assert!(web.text(&first.url).await.contains("uploaded"));
    assert_eq!(offered(&web, id).await.len(), 1);

    // All at once: one wins, and what the others wrote goes.
    let rivals =
        (0..4).map(|number| put(&web, id, "pt-BR", format!("WEBVTT\n\n00:01.000 --> 00:02.000\nrival {number}\n")));
    futures_util::future::join_all(rivals).await;
    assert!(web.text(&second.url).await.contains("rival"));
    // And with the same text: who comes second keeps the first one's, and takes its own away again.
    let twins = (0..4).map(|_| put(&web, id, "pt-BR", UPLOADED));
    futures_util::future::join_all(twins).await;
    assert!(web.text(&second.url).await.contains("uploaded"));
    eventually(SETTLE_DEADLINE, || async { blobs(&web).await == without + 1 }).await;
    web.client().delete_captions(id, &language("pt-BR")).await.unwrap();
    assert_eq!(status(&web, &second.url).await, 404);
    eventually(SETTLE_DEADLINE, || async { blobs(&web).await == without }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_captions_is_refused_in_words_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let id = web.upload(&media::clip(dir.path(), "clip.mp4", 1, "160x90")).await.id;
    let before = blobs(&web).await;
    let http = reqwest::Client::new();
    let good = UPLOADED.as_bytes().to_vec();
    let at = |rest: &str| format!("{}/api/v1/videos/{id}/captions/{rest}", web.origin);
    let latin1 = b"1\n00:00:01,000 --> 00:00:02,000\n\xc4rger\n".to_vec();
    let nobody = format!("{}/api/v1/videos/{}/captions/en", web.origin, VideoId::generate());
    for (url, body, status, word) in [
        (at("en"), Vec::new(), 422, "empty"),
        (at("en"), b"1\n00:00:01,000 --> 0:0:x\nHello\n".to_vec(), 422, "Line 2"),
        (at("en"), b"WEBVTT\n\n00:01.000 --> 00:02.000\na\n\nlost\n".to_vec(), 422, "Line 6"),
        (at("en"), b"[Script Info]\n".to_vec(), 422, "ASS"),
        (at("en"), latin1.clone(), 422, "Line 3 is not UTF-8"),
        (at("en"), vec![b'x'; (2 << 20) + 1], 413, "2097152"),
        (at("english"), good.clone(), 400, "pt-BR"),
        (at("en?kind=nonsense"), good.clone(), 400, "kind"),
        (at(&format!("en?label={}", "x".repeat(101))), good.clone(), 422, "label"),
        (nobody, good, 404, "no video"),
    ] {
        let answer = http.put(&url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{url} {word}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{url}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(word), "{url} {word}: {problem}");
    }
    assert_eq!(http.delete(at("en")).send().await.unwrap().status(), 404);
    assert_eq!((offered(&web, id).await, blobs(&web).await), (Vec::new(), before));
    let named =
        http.put(at("de")).header("content-type", "text/srt; charset=ISO-8859-1").body(latin1).send().await.unwrap();
    assert_eq!(named.status(), 201, "{}", named.text().await.unwrap());
    assert!(web.text(&format!("/media/{id}/captions/de.vtt")).await.contains("Ärger"), "before the video plays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_generation_keeps_what_was_uploaded_and_reads_the_file_anew() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "").unwrap();
    let path = failing_ffmpeg(dir.path(), &broken);
    let web = WebService::start_with(&[], |program| program.env("PATH", &path)).await;
    let id = web.upload(&film(dir.path())).await.id;
    let client = web.client();
    put(&web, id, "en", UPLOADED).await;
    eventually(READY_DEADLINE, || async { client.video(id).await.unwrap().state == VideoState::Failed }).await;
    assert_eq!(offered(&web, id).await, [("en".to_owned(), CaptionOrigin::Uploaded)]);

    std::fs::remove_file(&broken).unwrap();
    client.retry(id).await.unwrap();
    let video = web.ready(id, READY_DEADLINE).await;
    assert!(video.playback.is_some());
    assert_eq!(
        offered(&web, id).await,
        [("de".to_owned(), CaptionOrigin::Embedded), ("en".to_owned(), CaptionOrigin::Uploaded)]
    );
    assert!(web.text(&video.captions[1].url).await.contains("uploaded"));
    client.delete(id).await.unwrap();
    eventually(SETTLE_DEADLINE, || async { blobs(&web).await == 0 }).await;
}

/// A search path with an ffmpeg that cannot decode while `broken` exists.
fn failing_ffmpeg(dir: &Path, broken: &Path) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "#!/bin/sh\nPATH='{path}'\ncase \"$*\" in *-crf*) if [ -e '{}' ]; then echo 'Invalid data found' >&2; exit 1; fi;; esac\n\
         exec ffmpeg \"$@\"\n",
        broken.display()
    );
    std::fs::write(bin.join("ffmpeg"), script).unwrap();
    std::fs::set_permissions(bin.join("ffmpeg"), std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{path}", bin.display())
}
