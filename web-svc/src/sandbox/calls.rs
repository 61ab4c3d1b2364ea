//! Which system calls are taken away: seccomp.
//!
//! A list of what is refused, not of what is allowed: every version of ffmpeg, its hundred libraries and the C library would
//! need a list of their own, and a call too few breaks uploads. So this names what a decoder never needs and an intruder would:
//! what reaches other processes, what changes files that Landlock does not guard (modes, owners, times, attributes), sockets
//! that it does not know, and the parts of the kernel that are large and seldom used.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

/// Refused whatever the arguments are.
const REFUSED: &[i64] = &[
    // Other processes, their memory and their limits.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    // The process group, by which it is killed.
    libc::SYS_setpgid,
    libc::SYS_setsid,
    // Files that have no name in any directory, and programs made of them.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_execveat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // What Landlock does not guard in files of the same user.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Waiting for others to connect.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_socketpair,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Large parts of the kernel with a history of faults.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_personality,
    libc::SYS_vhangup,
];

/// The older names of some of these, which newer processors do not have.
#[cfg(target_arch = "x86_64")]
const REFUSED_OF_OLD: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_uselib,
    libc::SYS_modify_ldt,
    libc::SYS_iopl,
    libc::SYS_ioperm,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OF_OLD: &[i64] = &[];

/// From Linux 6.6; the same number on every processor, and newer than the crate's tables.
const FCHMODAT2: i64 = 452;
/// x86-64 has every call a second time, with this bit in its number (the x32 ABI).
const X32_BIT: u32 = 0x4000_0000;

/// Why the filters are not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallsError {
    #[error("no filter for this processor: {0}")]
    Build(#[from] seccompiler::BackendError),
    #[error("the kernel does not take the filter: {0}")]
    Apply(#[from] seccompiler::Error),
}

/// Takes the calls away from this process and whatever program it becomes.
pub(super) fn restrict() -> Result<(), CallsError> {
    let filters = [
        filter(refused()?, libc::EPERM)?,
        // Its flags lie behind a pointer, where no filter looks. Told that it does not exist, the C library takes `clone`.
        filter(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?,
        without_x32(),
    ];
    filters.iter().try_for_each(|filter| Ok(apply_filter(filter)?))
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, CallsError> {
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let processor = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor)?.try_into()?)
}

/// The calls that are refused, with the arguments for which they are; without any rule a call always is.
fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, CallsError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_OF_OLD).map(|&call| (call, Vec::new())).collect();
    // A thread is a clone that says so; any other clone is a process.
    let thread = unsigned(libc::CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![all(vec![argument(0, SeccompCmpOp::MaskedEq(thread), 0)?])?]);
    // To oneself only: `abort` does it.
    let own_id = u64::from(std::process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(call, vec![all(vec![argument(0, SeccompCmpOp::Ne, own_id)?])?]);
    }
    rules.insert(libc::SYS_prlimit64, vec![all(vec![argument(0, SeccompCmpOp::Ne, 0)?])?]);
    rules.insert(libc::SYS_socket, sockets()?);
    // With this flag they connect without asking Landlock.
    let at_once = unsigned(libc::MSG_FASTOPEN);
    for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        rules.insert(call, vec![all(vec![argument(flags, SeccompCmpOp::MaskedEq(at_once), at_once)?])?]);
    }
    Ok(rules)
}

/// Any socket but one of TCP over IP: Landlock knows no other (MPTCP, too, goes past its rules).
fn sockets() -> Result<Vec<SeccompRule>, CallsError> {
    const KIND: u64 = 0xF;
    let not = |index, value: i32| argument(index, SeccompCmpOp::Ne, unsigned(value));
    let mut rules = vec![
        all(vec![not(0, libc::AF_INET)?, not(0, libc::AF_INET6)?])?,
        all(vec![not(2, 0)?, not(2, libc::IPPROTO_TCP)?])?,
    ];
    for kind in (0..=KIND).filter(|&kind| kind != unsigned(libc::SOCK_STREAM)) {
        rules.push(all(vec![argument(1, SeccompCmpOp::MaskedEq(KIND), kind)?])?);
    }
    Ok(rules)
}

fn all(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, CallsError> {
    Ok(SeccompRule::new(conditions)?)
}

/// The arguments looked at are ints, of which the kernel reads the lower half of the register.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, CallsError> {
    Ok(SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)?)
}

fn unsigned(value: i32) -> u64 {
    u64::from(value.unsigned_abs())
}

/// Refuses every call of the x32 ABI, which would go past the numbers above (seccomp(2), "Caveats").
fn without_x32() -> BpfProgram {
    use libc::{BPF_ABS, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let not_there = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    [
        // The number of the call, at offset 0 of `struct seccomp_data`.
        (BPF_LD | BPF_W | BPF_ABS, 0, 0),
        (BPF_JMP | BPF_JGE | BPF_K, 1, X32_BIT),
        (BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        (BPF_RET | BPF_K, 0, not_there),
    ]
    .map(|(code, jt, k)| sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf: 0, k })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_built_for_this_processor() {
        let rules = refused().unwrap();
        assert_eq!(rules.len(), REFUSED.len() + REFUSED_OF_OLD.len() + 8, "a call is listed twice");
        // The kernel takes 4096 instructions.
        assert!(filter(rules, libc::EPERM).unwrap().len() < 2000);
    }
}
