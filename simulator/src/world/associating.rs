//! Who is associated with which radio.

use std::sync::Arc;

use super::{Association, ClientState, World, events::Step, logbook::Why, model::Ms};
use crate::noise::{hash, pareto};

impl World {
    pub(super) fn associate_all(&mut self) {
        let plan = Arc::clone(&self.plan);
        for (client, c) in plan.clients.iter().enumerate() {
            let ap_booted = self.devices[plan.radios[c.home].device].booted_ms;
            let own_booted = c.device.map_or(Ms::MIN, |d| self.devices[d].booted_ms);
            let wish = -(pareto(plan.seed, client as u64, 102, 60_000.0, 0.5, 1.2e9) as Ms);
            let began_ms = wish
                .max(ap_booted + 25_000)
                .max(own_booted.saturating_add(25_000));
            let row_id = self.take_row();
            let association = Association {
                client,
                radio: c.home,
                began_ms,
                row_id,
            };
            self.radios[c.home].clients.push(client);
            self.history.began(association);
            self.clients.push(ClientState {
                blocked: 0,
                target: c.home,
                association: Some(association),
                plans: 0,
            });
        }
    }

    fn take_row(&mut self) -> u32 {
        self.next_row += 1;
        self.next_row
    }

    pub(super) fn may_associate(&self, client: usize) -> bool {
        let state = &self.clients[client];
        let radio = &self.plan.radios[state.target];
        state.blocked == 0
            && self.radios[state.target].lost == 0
            && self.powered(radio.device)
            && radio
                .cap
                .as_ref()
                .is_none_or(|(controller, _)| self.powered(*controller))
            && self.plan.clients[client]
                .device
                .is_none_or(|d| self.powered(d))
    }

    /// Brings a client's association in line with what is possible; a new one begins after a
    /// moment that differs from client to client.
    pub(super) fn reconsider(&mut self, client: usize, delay_ms: Option<Ms>) {
        let possible = self.may_associate(client);
        let state = &mut self.clients[client];
        state.plans += 1;
        let plans = state.plans;
        let stays = state
            .association
            .is_some_and(|a| possible && a.radio == state.target);
        if stays {
            return;
        }
        if let Some(association) = state.association.take() {
            self.history.ended(association, self.now_ms);
            let moved = association.radio != self.clients[client].target;
            self.log_parting(association, if moved { Why::Left } else { Why::Lost });
            self.touch_client(client);
        }
        if possible {
            let spread = 800 + (hash(self.plan.seed, client as u64, 103) % 2_200) as Ms;
            let at = self.now_ms + delay_ms.unwrap_or(spread);
            self.push(at, Step::Associate { client, plans });
        }
    }

    pub(super) fn associate(&mut self, client: usize, plans: u32) {
        if self.clients[client].plans != plans {
            return;
        }
        let row_id = self.take_row();
        let radio = self.clients[client].target;
        let association = Association {
            client,
            radio,
            began_ms: self.now_ms,
            row_id,
        };
        self.clients[client].association = Some(association);
        self.history.began(association);
        self.log_meeting(association);
        self.touch_client(client);
    }
}
