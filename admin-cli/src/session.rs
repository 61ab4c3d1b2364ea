//! The connection to the web service for one command.

use std::{env, fs};

use triton_api::{
    client::{Caller, WebClient},
    secret::ClusterSecret,
};

use crate::{args::Connection, failure::Failure, output::Output};

pub(crate) struct Session {
    pub(crate) client: WebClient,
    pub(crate) output: Output,
    server: String,
}

impl Session {
    pub(crate) fn open(connection: &Connection) -> Result<Self, Failure> {
        let caller = Caller::untraced(secret(connection)?)?;
        let server = connection.server.as_str().trim_end_matches('/').to_owned();
        let client = WebClient::new(caller, &server);
        Ok(Self { client, output: Output::new(connection.json), server })
    }

    /// The address of a page or file for a person to open.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }
}

fn secret(connection: &Connection) -> Result<Option<ClusterSecret>, Failure> {
    // Only from the environment: the arguments of a process are visible to every user of the machine.
    let text = match env::var("TRITON_CLUSTER_SECRET") {
        Ok(text) if !text.is_empty() => text,
        _ => {
            let Some(path) = &connection.cluster_secret_file else { return Ok(None) };
            fs::read_to_string(path).map_err(|error| {
                Failure::Usage(format!("--cluster-secret-file: cannot read {}: {error}.", path.display()))
            })?
        }
    };
    text.parse().map(Some).map_err(|error| Failure::Usage(format!("The cluster secret is no good: {error}.")))
}
