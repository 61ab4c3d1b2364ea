//! What goes where: results to standard output, words about the work to standard error.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The result of a command: the API's own JSON for programs, `render`'s text for people.
    pub(crate) fn show<T: Serialize>(self, value: &T, render: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?
        } else {
            render(value)
        };
        print(&text)
    }

    /// A word to a person about what happens; programs are not told.
    pub(crate) fn note(self, text: &str) {
        if !self.json && writeln!(io::stderr(), "{text}").is_err() {
            // Nobody listens: the work goes on all the same.
        }
    }
}

/// Prints to standard output, with one line end.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
    stdout.flush()?;
    Ok(())
}
