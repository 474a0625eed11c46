//! What systemd is told of the server (sd_notify(3)): that it is ready, reads its certificate again,
//! lives and stops. Without systemd, that is without NOTIFY_SOCKET, nobody is told.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::http::{Moment, Supervisor};

/// See the module.
pub(super) struct Systemd {
    patience: Option<Duration>,
}

impl Systemd {
    /// As the environment says.
    pub fn of_environment() -> Systemd {
        Systemd {
            patience: sd_notify::watchdog_enabled(),
        }
    }
}

impl Supervisor for Systemd {
    fn tell(&self, moment: Moment) {
        let told = match moment {
            Moment::Ready => sd_notify::notify(&[NotifyState::Ready]),
            // With the time, as Type=notify-reload asks for it.
            Moment::Reloading => NotifyState::monotonic_usec_now()
                .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
            Moment::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
            Moment::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        };
        if let Err(error) = told {
            tracing::warn!(%error, ?moment, "systemd cannot be told");
        }
    }

    fn patience(&self) -> Option<Duration> {
        self.patience
    }
}
