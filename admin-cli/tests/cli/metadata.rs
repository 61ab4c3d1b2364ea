use std::{fs, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};
use triton_api::{ProblemType, metadata::MetadataImport};

use crate::{run, server::Server};

const EXPORT: &str = "GET /api/v1/admin/metadata";
const IMPORT: &str = "POST /api/v1/admin/metadata";

/// An export of one record, made with the form's own writer.
fn export() -> String {
    let header = r#"{"format":"tritontube-metadata","v":1,"revision":7,"exported_at":"2026-01-01T00:00:00Z","layout":{"current":{"epoch":1,"replicas":3,"nodes":[],"table":[],"digest":""}}}"#;
    let (mut writer, mut out) = (triton_api::metadata::Writer::default(), bytes::BytesMut::new());
    writer.header(&serde_json::from_str(header).unwrap(), &mut out).unwrap();
    writer.record("video/a", r#"{"v":1}"#, &mut out).unwrap();
    writer.trailer(&mut out).unwrap();
    String::from_utf8(out.to_vec()).unwrap()
}

#[tokio::test]
async fn export_leaves_a_whole_file_or_the_one_that_was_there() {
    let (directory, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let path = directory.path().join("house.jsonl");
    let file = path.to_str().unwrap();
    let whole = export();
    server.on_lines(EXPORT, &whole).on_lines(EXPORT, &whole[..whole.len() - 40]);
    let exported = run(&server.url, &["--json", "metadata", "export", file]).await;
    assert_eq!((exported.code, exported.json()["records"].as_u64()), (0, Some(1)), "{}", exported.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);

    let cut = run(&server.url, &["metadata", "export", file]).await;
    assert!(cut.code == 1 && cut.stderr.contains("it was cut"), "{}", cut.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "half a file was left");
}

#[tokio::test]
async fn export_to_standard_output_is_the_file_alone() {
    let server = Server::start().await;
    server.on_lines(EXPORT, &export());
    let exported = run(&server.url, &["metadata", "export", "-"]).await;
    assert_eq!((exported.code, exported.stdout), (0, export()));
    assert!(exported.stderr.contains("Exported 1 records"), "{}", exported.stderr);
}

#[tokio::test]
async fn import_checks_the_file_before_it_sends_anything() {
    let (directory, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let path = directory.path().join("house.jsonl");
    let file = path.to_str().unwrap();
    server.on(IMPORT, 200, &MetadataImport { imported: 1, skipped: 0, nodes_added: 2 });
    fs::write(&path, export().replace("video/a", "video/b")).unwrap();
    let altered = run(&server.url, &["metadata", "import", file]).await;
    assert!(
        altered.code == 1 && altered.stderr.contains("altered") && altered.stderr.contains(file),
        "{}",
        altered.stderr
    );
    assert_eq!(server.seen().len(), 0);

    fs::write(&path, export()).unwrap();
    let arguments = ["metadata", "import", file, "--node", "http://10.0.0.1:8090", "--node", "http://10.0.0.2:8090"];
    let imported = run(&server.url, &arguments).await;
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    assert!(imported.stdout.contains("Imported 1 records") && imported.stdout.contains("came along: 2."));
    let seen = server.seen().remove(0);
    let query = "nodes=http%3A%2F%2F10.0.0.1%3A8090%2Chttp%3A%2F%2F10.0.0.2%3A8090&without_nodes=false";
    assert_eq!(seen.line, format!("{IMPORT}?{query}"));
    assert_eq!(seen.body, export());
}

#[tokio::test]
async fn import_takes_standard_input_and_shows_the_refusal() {
    let server = Server::start().await;
    server.on_problem(IMPORT, ProblemType::Conflict, "The record video/a exists here.");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tritonctl"))
        .args(["metadata", "import", "-", "--without-nodes", "--server", &server.url])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(export().as_bytes()).await.unwrap();
    drop(input);
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "error: The record video/a exists here.\n");
    assert_eq!(server.seen()[0].body, export());
}
