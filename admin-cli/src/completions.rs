//! Completion scripts.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{args::Arguments, failure::Failure, output};

pub(crate) fn write(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tritonctl", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
