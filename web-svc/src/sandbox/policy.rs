//! What a confined program is granted; written by the service and read by the launcher, both of the same binary.

use std::ffi::{OsStr, OsString};

use serde::{Deserialize, Serialize};

use super::{ProcessLimits, SandboxMode};

/// What one run of a program may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How much of what is not granted is taken away.
    pub mode: SandboxMode,
    /// Memory, processor time, disk.
    pub limits: ProcessLimits,
    /// Whether it may read and write files in its working directory; if not, it writes none at all.
    pub writes: bool,
    /// The one TCP port that it may connect to.
    pub connect_port: Option<u16>,
}

impl Policy {
    /// One word of a command line.
    #[expect(clippy::expect_used, reason = "numbers, words and truth values are always JSON")]
    pub(super) fn to_argument(self) -> OsString {
        serde_json::to_string(&self).expect("plain values").into()
    }

    /// What [`Policy::to_argument`] wrote.
    pub(super) fn of_argument(argument: &OsStr) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(argument.as_encoded_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_policy_survives_the_command_line() {
        let limits = ProcessLimits { memory_bytes_max: 1, file_bytes_max: 2, cpu_time_max: Duration::from_secs(3) };
        let policy = Policy { mode: SandboxMode::Required, limits, writes: true, connect_port: Some(4) };
        assert_eq!(Policy::of_argument(&policy.to_argument()).unwrap(), policy);
        assert!(Policy::of_argument(OsStr::new("{}")).is_err());
    }
}
