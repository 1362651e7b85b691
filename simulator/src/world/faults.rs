//! What can be wrong with a device's API while the device itself goes on.
//!
//! Some of it looks from outside as if the device were gone, some as if it could not be managed:
//! the truth says which, so that a reader can be compared with it.

use super::{DeviceMoment, World};

/// Something wrong with a device's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Connections are reset: the open ones at once, new ones as they come.
    Reset,
    /// Nothing more is answered from this step on.
    Stall(Stall),
    /// Another certificate is shown than before.
    Certificate,
    /// One processor for all sessions: each answer takes so many milliseconds of it.
    SlowCpu(u32),
    /// Answers are not what a router would send.
    Hostile(Hostile),
}

/// Where a session comes to a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// TCP is up, nothing is read: no TLS answer.
    Connect,
    /// TLS is up, the login is not answered.
    Login,
    /// Logged in; commands are not answered.
    Answer,
    /// Half an answer comes, then nothing.
    Half,
}

/// What is sent instead of an answer, or in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hostile {
    /// A word of four gigabytes is announced.
    Length,
    /// A sentence that does not end.
    Endless,
    /// Bytes of no protocol.
    Garbage,
    /// True answers whose comments are not UTF-8.
    Utf8,
    /// True answers among reply words that nobody knows, and empty sentences.
    Strange,
}

impl Stall {
    /// The words of the scenario.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("connect", Self::Connect),
        ("login", Self::Login),
        ("answer", Self::Answer),
        ("half", Self::Half),
    ];
}

impl Hostile {
    /// The words of the scenario.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("length", Self::Length),
        ("endless", Self::Endless),
        ("garbage", Self::Garbage),
        ("utf8", Self::Utf8),
        ("strange", Self::Strange),
    ];

    /// Whether a reader can still understand the device.
    #[must_use]
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Utf8 | Self::Strange)
    }
}

impl World {
    fn faults(&self, device: usize) -> impl Iterator<Item = Fault> + '_ {
        let of_device = self.faults.get(&device).into_iter().flatten();
        of_device.map(|(_, fault)| *fault)
    }

    /// Whether nothing is wrong between a session of this path and its device's answers.
    #[must_use]
    pub fn is_well(&self, device: usize, path: u32) -> bool {
        let state = &self.devices[device];
        let well = state.reachable && state.slow_ms == 0 && state.paths == path;
        well && !self.faults.contains_key(&device)
    }

    /// Whether connections to the device are reset as they come.
    #[must_use]
    pub fn resets(&self, device: usize) -> bool {
        self.faults(device).any(|fault| fault == Fault::Reset)
    }

    /// Whether sessions stop at a step.
    #[must_use]
    pub fn stalls(&self, device: usize, at: Stall) -> bool {
        self.faults(device).any(|fault| fault == Fault::Stall(at))
    }

    /// Whether the device shows another certificate than at first.
    #[must_use]
    pub fn certificate_changed(&self, device: usize) -> bool {
        self.faults(device).any(|fault| fault == Fault::Certificate)
    }

    /// Milliseconds of the one processor that each answer takes; 0 = it is not slow.
    #[must_use]
    pub fn cpu_ms(&self, device: usize) -> u32 {
        let slow = self.faults(device).map(|fault| match fault {
            Fault::SlowCpu(ms) => ms,
            _ => 0,
        });
        slow.sum()
    }

    /// What is wrong with the device's answers.
    #[must_use]
    pub fn hostile(&self, device: usize) -> Option<Hostile> {
        self.faults(device).find_map(|fault| match fault {
            Fault::Hostile(how) => Some(how),
            _ => None,
        })
    }

    /// Counts how often a device's path forgot its connections: those of before hear nothing more.
    #[must_use]
    pub fn paths(&self, device: usize) -> u32 {
        self.devices[device].paths
    }

    pub(super) fn forget_paths(&mut self, device: usize) {
        self.devices[device].paths += 1;
        self.changed.insert(device);
    }

    pub(super) fn fault(&mut self, id: u64, device: usize, fault: Fault, begins: bool) {
        let all = self.faults.entry(device).or_default();
        all.retain(|(known, _)| *known != id);
        if begins {
            all.push((id, fault));
        }
        if all.is_empty() {
            self.faults.remove(&device);
        }
        // What was open before would go on as if nothing were.
        let anew = match fault {
            Fault::Reset | Fault::Stall(Stall::Connect | Stall::Login) => begins,
            Fault::Certificate => true,
            Fault::Stall(Stall::Answer | Stall::Half) | Fault::SlowCpu(_) | Fault::Hostile(_) => {
                false
            }
        };
        self.devices[device].boots += u32::from(anew);
        self.changed.insert(device);
        self.note_moment(device);
    }

    /// What is true of a device now, seen from outside.
    pub(super) fn moment(&self, device: usize) -> DeviceMoment {
        let state = &self.devices[device];
        let tls = self.plan.devices[device].tls.has_certificate();
        let answers = !self
            .faults(device)
            .any(|fault| matches!(fault, Fault::Reset | Fault::Stall(_)));
        let readable = !self.faults(device).any(|fault| match fault {
            Fault::Certificate => tls,
            Fault::Hostile(how) => !how.is_readable(),
            Fault::Reset | Fault::Stall(_) | Fault::SlowCpu(_) => false,
        });
        DeviceMoment {
            reachable: state.reachable && answers,
            manageable: state.wrong_passwords == 0 && readable,
        }
    }

    /// Writes what is true of a device now into history.
    pub(super) fn note_moment(&mut self, device: usize) {
        let moment = self.moment(device);
        self.history.device(device, self.now_ms, moment);
    }
}
