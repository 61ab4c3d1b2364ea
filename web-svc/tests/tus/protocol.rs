//! The protocol to the letter: every status and header.

use crate::{
    assert_download, assert_nothing_left,
    client::{Tus, UPLOADS, id_of, metadata},
    clip, service,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_tell_what_is_spoken_and_other_versions_are_refused() {
    let web = crate::WebService::start(&["--transcode-slots", "0", "--upload-bytes-max", "1000000"]).await;
    let tus = Tus::new(&web);
    let path = tus.create(10, &[]).await;
    for address in [UPLOADS, &path] {
        let answer = tus.raw("OPTIONS", address, &[], Vec::new()).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("tus-version"), Some("1.0.0"));
        assert_eq!(
            answer.header("tus-extension"),
            Some("creation,creation-with-upload,checksum,expiration,termination,concatenation")
        );
        assert_eq!(answer.header("tus-max-size"), Some("1000000"));
        assert_eq!(answer.header("tus-checksum-algorithm"), Some("sha1,sha256"));
    }
    for (method, address) in [("POST", UPLOADS), ("HEAD", &path), ("PATCH", &path), ("DELETE", &path)] {
        for headers in [vec![], vec![("tus-resumable", "0.2.2")]] {
            let answer = tus.raw(method, address, &headers, Vec::new()).await;
            assert_eq!(answer.status, 412, "{method}");
            assert_eq!(answer.header("tus-version"), Some("1.0.0"), "{method}");
            assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{method}");
        }
    }
    let answer = tus.send("POST", UPLOADS, &[("upload-length", "1000001")], Vec::new()).await;
    assert_eq!((answer.status, answer.header("tus-resumable")), (413, Some("1.0.0")));
    assert_eq!(tus.send("GET", &path, &[], Vec::new()).await.status, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_chunks_becomes_the_video_that_its_metadata_describe() {
    let (web, content) = (service().await, clip(300_000));
    let tus = Tus::new(&web);
    let described =
        metadata(&[("filename", "ä.mp4"), ("title", "Ünï"), ("description", "d"), ("visibility", "unlisted")]);
    let path = tus.create(content.len(), &[("upload-metadata", &described)]).await;
    let uploading = web.videos().await;
    assert_eq!((uploading.len(), &*uploading[0].title), (1, "Ünï"));

    let head = tus.head(&path).await;
    assert_eq!((head.status, head.offset()), (200, 0));
    assert_eq!(head.header("upload-length"), Some("300000"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert_eq!(head.header("upload-metadata"), Some(&*described));
    assert_eq!(head.header("tus-resumable"), Some("1.0.0"));
    assert!(head.header("upload-expires").unwrap().ends_with(" GMT"));

    let answer = tus.patch(&path, 0, &content[..100_000]).await;
    assert_eq!((answer.status, answer.offset()), (204, 100_000), "{answer:?}");
    assert!(answer.header("upload-expires").is_some());
    for wrong in [0, 99_999, 100_001] {
        let answer = tus.patch(&path, wrong, &content[100_000..200_000]).await;
        assert_eq!((answer.status, answer.offset()), (409, 100_000), "{answer:?}");
    }
    let answer = tus.patch(&path, 100_000, &content[100_000..]).await;
    assert_eq!((answer.status, answer.offset()), (204, 300_000), "{answer:?}");

    // The end may be told again, as a client does that missed the answer.
    for _ in 0..2 {
        assert_eq!(tus.patch(&path, 300_000, &[]).await.status, 204);
        let head = tus.head(&path).await;
        assert_eq!((head.status, head.offset(), head.header("upload-expires")), (200, 300_000, None));
    }
    let id = id_of(&path);
    let video: serde_json::Value = serde_json::from_str(&web.text(&format!("/api/v1/videos/{id}")).await).unwrap();
    assert_eq!(video["state"], "queued");
    assert_eq!(
        (&video["title"], &video["description"], &video["visibility"]),
        (&"Ünï".into(), &"d".into(), &"unlisted".into())
    );
    assert_download(&web, id, &content).await;
    crate::assert_parts_only(&web, content.len()).await;
    let jobs: serde_json::Value = serde_json::from_str(&web.text("/api/v1/admin/jobs").await).unwrap();
    let kinds: Vec<_> = jobs["items"].as_array().unwrap().iter().map(|job| job["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "finalize").count(), 1, "one generation: {kinds:?}");

    // The upload's end deletes what it became.
    assert_eq!(tus.send("DELETE", &path, &[], Vec::new()).await.status, 204);
    assert_nothing_left(&web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let (web, content) = (service().await, clip(100_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let chunk = ("content-type", "application/offset+octet-stream");
    let none = "/api/v1/uploads/AZqxJ2QkcYuS5T3mVb0aXw";
    let long = metadata(&[("x", &"x".repeat(60_000))]);
    let (twice, odd) = ("title YQ==,title YQ==", "final;/api/v1/uploads/x");
    for (status, method, address, headers) in [
        (400, "POST", UPLOADS, vec![]),
        (400, "POST", UPLOADS, vec![("upload-length", "-1")]),
        (400, "POST", UPLOADS, vec![("upload-length", "ten")]),
        (400, "POST", UPLOADS, vec![("upload-defer-length", "1")]),
        (400, "POST", UPLOADS, vec![("upload-length", "1"), ("upload-metadata", twice)]),
        (400, "POST", UPLOADS, vec![("upload-length", "1"), ("upload-metadata", "title !")]),
        (400, "POST", UPLOADS, vec![("upload-length", "1"), ("upload-metadata", &long)]),
        (422, "POST", UPLOADS, vec![("upload-length", "1"), ("upload-metadata", "title ")]),
        (422, "POST", UPLOADS, vec![("upload-length", "0")]),
        (400, "POST", UPLOADS, vec![("upload-concat", odd)]),
        (400, "POST", UPLOADS, vec![("upload-concat", "half")]),
        (415, "PATCH", &path, vec![("upload-offset", "0")]),
        (415, "PATCH", &path, vec![("upload-offset", "0"), ("content-type", "application/octet-stream")]),
        (400, "PATCH", &path, vec![chunk]),
        (400, "PATCH", &path, vec![chunk, ("upload-offset", "-0")]),
        (400, "PATCH", &path, vec![chunk, ("upload-offset", "0"), ("upload-checksum", "md5 AAAA")]),
        (404, "PATCH", none, vec![chunk, ("upload-offset", "0")]),
        (404, "HEAD", none, vec![]),
        (404, "HEAD", "/api/v1/uploads/x", vec![]),
        (404, "DELETE", none, vec![]),
    ] {
        let answer = tus.send(method, address, &headers, Vec::new()).await;
        assert_eq!(answer.status, status, "{method} {address} {headers:?}: {answer:?}");
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{method} {headers:?}");
        assert!(method == "HEAD" || answer.problem.is_some(), "{method} {headers:?}");
    }
    let longer = [&content[..], b"!"].concat();
    assert_eq!(tus.patch(&path, 0, &longer).await.status, 413);
    assert_eq!(tus.head(&path).await.offset(), 0);
    assert_eq!(web.videos().await.len(), 1);
    assert_eq!(tus.patch(&path, 0, &content).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bytes_may_come_with_the_creation() {
    let (web, content) = (service().await, clip(100_000));
    let tus = Tus::new(&web);
    let headers = [("upload-length", "100000"), ("content-type", "application/offset+octet-stream")];
    let answer = tus.send("POST", UPLOADS, &headers, content[..60_000].to_vec()).await;
    assert_eq!((answer.status, answer.offset()), (201, 60_000), "{answer:?}");
    assert!(answer.header("upload-expires").is_some());
    let path = answer.header("location").unwrap().to_owned();
    assert_eq!(tus.patch(&path, 60_000, &content[60_000..]).await.status, 204);
    assert_download(&web, id_of(&path), &content).await;

    let answer = tus.send("POST", UPLOADS, &headers, content.clone()).await;
    assert_eq!((answer.status, answer.offset()), (201, 100_000), "{answer:?}");
    assert_download(&web, id_of(answer.header("location").unwrap()), &content).await;

    let other = tus.send("POST", UPLOADS, &headers[..1], content.clone()).await;
    assert_eq!(other.status, 415);
    let text = tus.send("POST", UPLOADS, &headers, b"no video ".repeat(11_112)[..100_000].to_vec()).await;
    assert_eq!(text.status, 422, "{text:?}");
    assert_eq!(web.videos().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_a_proxy_forbids_may_be_named_in_a_header() {
    let (web, content) = (service().await, clip(100_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    let chunk = ("content-type", "application/offset+octet-stream");
    let headers = [("x-http-method-override", "PATCH"), chunk, ("upload-offset", "0")];
    let answer = tus.send("POST", &path, &headers, content[..1_000].to_vec()).await;
    assert_eq!((answer.status, answer.offset()), (204, 1_000), "{answer:?}");
    let head = tus.send("GET", &path, &[("x-http-method-override", "HEAD")], Vec::new()).await;
    assert_eq!((head.status, head.offset()), (200, 1_000));
    let deleted = tus.send("POST", &path, &[("x-http-method-override", "DELETE")], Vec::new()).await;
    assert_eq!(deleted.status, 204);
    // Nowhere else.
    let videos = tus.send("GET", "/api/v1/videos", &[("x-http-method-override", "DELETE")], Vec::new()).await;
    assert_eq!(videos.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_video_is_refused_as_early_as_can_be_and_leaves_nothing() {
    let (web, content) = (service().await, clip(100_000));
    let tus = Tus::new(&web);
    // The beginning is wrong: refused before the rest is sent.
    let path = tus.create(50_000_000, &[]).await;
    let answer = tus.patch(&path, 0, &b"just text ".repeat(10_000)).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let problem = answer.problem.unwrap();
    assert_eq!(problem["type"], "urn:tritontube:problem:not-a-video");
    assert_eq!(tus.head(&path).await.status, 410);
    let again = tus.patch(&path, 0, b"x").await;
    assert_eq!((again.status, &again.problem.unwrap()["detail"]), (422, &problem["detail"]));
    // The end is missing, which only the probe of the whole can tell.
    let cut = &content[..content.len() / 2];
    let path = tus.create(cut.len() / 8, &[]).await;
    let answer = tus.patch(&path, 0, &cut[..cut.len() / 8]).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_nothing_left(&web).await;
}
