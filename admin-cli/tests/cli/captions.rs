use triton_api::{
    Page,
    caption::{Caption, CaptionKind, CaptionOrigin},
};

use crate::{run, server::Server};

const ID: &str = "AZqxJ2QkcYuS5T3mVb0aXw";
const CAPTIONS: &str = "/api/v1/videos/AZqxJ2QkcYuS5T3mVb0aXw/captions";

fn caption() -> Caption {
    Caption {
        language: "pt-BR".parse().unwrap(),
        label: Some("Legendas".to_owned()),
        kind: CaptionKind::Captions,
        origin: CaptionOrigin::Uploaded,
        url: format!("/media/{ID}/captions/pt-BR.vtt?v=5d0c1f7e"),
    }
}

#[tokio::test]
async fn captions_are_listed_added_and_deleted() {
    let server = Server::start().await;
    let page = Page { items: vec![caption()], next_cursor: None };
    server.on(&format!("GET {CAPTIONS}"), 200, &page).on(&format!("PUT {CAPTIONS}/pt-BR"), 201, &caption());
    server.on(&format!("DELETE {CAPTIONS}/pt-BR"), 204, &());
    let listed = run(&server.url, &["video", "captions", "list", ID]).await;
    let line =
        format!("pt-BR     Legendas  captions  uploaded  {}/media/{ID}/captions/pt-BR.vtt?v=5d0c1f7e\n", server.url);
    assert!(listed.code == 0 && listed.stdout.ends_with(&line), "{}{}", listed.stdout, listed.stderr);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.srt");
    std::fs::write(&file, "some captions").unwrap();
    let path = file.to_str().unwrap();
    let options = ["--label", "Legendas", "--hard-of-hearing"];
    let added = run(&server.url, &[&["video", "captions", "add", ID, "PT-br", path], &options[..]].concat()).await;
    assert!(added.code == 0 && added.stdout.starts_with("Added pt-BR: http"), "{}{}", added.stdout, added.stderr);
    let deleted = run(&server.url, &["video", "captions", "delete", ID, "pt-br"]).await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    let seen = server.seen();
    assert_eq!(&seen[1].body[..], b"some captions");
    assert!(seen[1].line.contains("label=Legendas") && seen[1].line.contains("kind=captions"), "{}", seen[1].line);

    for (arguments, word) in
        [(["add", ID, "english", path], "language tag"), (["add", ID, "en", "/no/such/file"], "Cannot read")]
    {
        let refused = run(&server.url, &[&["video", "captions"], &arguments[..]].concat()).await;
        assert!(refused.code == 2 && refused.stderr.contains(word), "{}", refused.stderr);
    }
}
