//! What kinds of trouble a seed mixes, in the manner of the set tests that Garage runs under Jepsen.

use std::{fmt, str::FromStr};

use anyhow::bail;

/// One kind of trouble, by its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// `c`: nodes are killed (SIGKILL) or stopped (SIGSTOP).
    Crash,
    /// `p`: links are cut, slow, or break in the middle of an answer.
    Partition,
    /// `d`: wall clocks jump.
    Clock,
    /// `r`: the layout changes, and its coordinator is killed.
    Reconfigure,
    /// `f`: disks are full, fail, rot or are lost.
    Disk,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::Crash, Self::Partition, Self::Clock, Self::Reconfigure, Self::Disk];

    const fn letter(self) -> char {
        match self {
            Self::Crash => 'c',
            Self::Partition => 'p',
            Self::Clock => 'd',
            Self::Reconfigure => 'r',
            Self::Disk => 'f',
        }
    }
}

/// A set of troubles, written as letters (`cpr`), or `all`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scenario(Vec<Trouble>);

/// The scenarios in the order in which seeds take them. A crash alone comes more than once: what is promised of reads is
/// promised there.
const TURNS: [&str; 16] =
    ["c", "r", "cr", "p", "cpr", "f", "c", "cp", "d", "pr", "cdp", "fr", "all", "cdpr", "cf", "r"];

impl Scenario {
    /// The scenario of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let turn = usize::try_from(seed % TURNS.len() as u64).unwrap_or(0);
        TURNS[turn].parse().unwrap_or_else(|_| Self(Trouble::ALL.to_vec()))
    }

    /// Whether it has this trouble.
    pub fn has(&self, trouble: Trouble) -> bool {
        self.0.contains(&trouble)
    }

    /// The troubles.
    pub fn troubles(&self) -> &[Trouble] {
        &self.0
    }

    /// The same without one trouble that this machine cannot make.
    #[must_use]
    pub fn without(&self, trouble: Trouble) -> Self {
        Self(self.0.iter().copied().filter(|known| *known != trouble).collect())
    }
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self(Trouble::ALL.to_vec()));
        }
        let is_known = |letter| Trouble::ALL.iter().any(|trouble| trouble.letter() == letter);
        if text.is_empty() || !text.chars().all(is_known) {
            bail!("`{text}` is no scenario: use some of the letters c, p, d, r and f, or `all`");
        }
        Ok(Self(Trouble::ALL.into_iter().filter(|trouble| text.contains(trouble.letter())).collect()))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == Trouble::ALL.len() {
            return f.write_str("all");
        }
        // As Garage writes them.
        let order = [Trouble::Crash, Trouble::Clock, Trouble::Partition, Trouble::Disk, Trouble::Reconfigure];
        order.iter().filter(|trouble| self.has(**trouble)).try_for_each(|trouble| write!(f, "{}", trouble.letter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in TURNS {
            assert_eq!(name.parse::<Scenario>().unwrap().to_string(), name);
        }
        assert!("cx".parse::<Scenario>().is_err() && "".parse::<Scenario>().is_err());
    }
}
