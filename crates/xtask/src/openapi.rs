//! The OpenAPI documents: generated from the routes, committed, never edited.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use utoipa::openapi::OpenApi;

/// The name of a document's file, and who makes the document.
type Document = (&'static str, fn() -> OpenApi);

/// Every service with the document it serves at `/openapi.json`.
const DOCUMENTS: [Document; 2] = [("web", web_svc::routes::openapi), ("storage", storage_svc::openapi)];

/// Writes every document.
pub(crate) fn write() -> anyhow::Result<()> {
    for (name, document) in DOCUMENTS {
        let path = path(name);
        fs::write(&path, text(&document())?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Fails with the first document that is not what the code says.
pub(crate) fn check() -> anyhow::Result<()> {
    for (name, document) in DOCUMENTS {
        let path = path(name);
        let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let generated = text(&document())?;
        if committed != generated {
            let line = committed.lines().zip(generated.lines()).take_while(|(old, new)| old == new).count() + 1;
            bail!("{} is stale from line {line} on: run `make openapi` and commit it", path.display());
        }
    }
    Ok(())
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi")).join(format!("{name}.json"))
}

fn text(document: &OpenApi) -> anyhow::Result<String> {
    Ok(document.to_pretty_json()? + "\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_documents_are_what_the_code_says() {
        if let Err(error) = super::check() {
            panic!("{error:#}");
        }
    }
}
