//! Which files and TCP ports are granted: Landlock (<https://docs.kernel.org/userspace-api/landlock.html>).

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

use super::Policy;

/// Where programs and their libraries lie, with what belongs to them; nothing there is anybody's secret.
const SYSTEM: [&str; 6] = ["/usr", "/lib", "/lib64", "/bin", "/nix/store", "/gnu/store"];
/// What the loader and the C library read elsewhere.
const SYSTEM_FILES: [&str; 3] = ["/etc/ld.so.cache", "/dev/urandom", "/dev/random"];

/// Takes away all files and ports but those granted; `false` where this kernel cannot.
///
/// Kernels that know a part of it take away that part: files from Linux 5.13, TCP ports from 6.7, signals and abstract sockets
/// from 6.12 (which seccomp takes away as well).
pub(super) fn restrict(policy: &Policy, program: Option<&Path>) -> Result<bool, RulesetError> {
    let run: BitFlags<AccessFs> = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});
    let keep_files: BitFlags<AccessFs> =
        make_bitflags!(AccessFs::{ReadFile | WriteFile | MakeReg | Truncate | RemoveFile});
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, run))?
        .add_rules(path_beneath_rules(SYSTEM_FILES, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(program, run))?;
    if policy.writes {
        rules = rules.add_rules(path_beneath_rules(["."], keep_files))?;
    }
    if let Some(port) = policy.connect_port {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}
