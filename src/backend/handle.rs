//! A process that is none of our making, held in such a way that its number can't pass to another meanwhile.

#[cfg(target_os = "linux")]
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::process::Signal;

use super::proc::Stat;

/// A process of which something is left to be done. Where there are no such handles, nobody has one.
#[derive(Debug)]
pub(super) struct Handle {
    id: i32,
    #[cfg(target_os = "linux")]
    process: OwnedFd,
}

#[cfg(target_os = "linux")]
impl Handle {
    /// The process that has this number now.
    pub(super) fn open(id: i32) -> Option<Self> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let process = pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()?;
        Some(Self { id, process })
    }

    /// Kills it; says whether it was there to be killed.
    pub(super) fn kill(&self) -> bool {
        self.signal(Signal::KILL)
    }

    /// Sends it a signal; says whether it was there to get one.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        rustix::process::pidfd_send_signal(&self.process, signal).is_ok()
    }

    /// Whether nothing of it is left for us: it is dead, and if it had become our child, it is reaped.
    pub(super) fn is_gone(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(self.process.as_fd()), options) {
            Ok(status) => status.is_some(),
            // It is somebody else's child, who sees to it when it is dead.
            Err(_) => Stat::of(self.id).is_none_or(|stat| stat.is_dead),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Handle {
    pub(super) fn open(_id: i32) -> Option<Self> {
        None
    }

    pub(super) fn kill(&self) -> bool {
        false
    }

    pub(super) fn signal(&self, _signal: Signal) -> bool {
        false
    }

    pub(super) fn is_gone(&self) -> bool {
        Stat::of(self.id).is_none()
    }
}
