//! The moments in a server's life that whoever supervises it is told of: systemd, for one.

use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Clients can connect; also the end of a `Reloading`.
    Ready,
    /// The certificate is being read again.
    Reloading,
    /// It works; told at least once within the supervisor's patience.
    Alive,
    /// No connection is accepted any more; running requests end.
    Stopping,
}

/// Who is told of moments. Must not block.
pub trait Supervisor: Send + Sync {
    /// This moment is now.
    fn tell(&self, moment: Moment);
    /// How long it goes without an `Alive` before it gives the server up; none if it does not ask.
    fn patience(&self) -> Option<Duration>;
}

/// Nobody supervises.
pub struct Unsupervised;

impl Supervisor for Unsupervised {
    fn tell(&self, _: Moment) {}

    fn patience(&self) -> Option<Duration> {
        None
    }
}
