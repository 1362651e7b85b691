//! What can happen to a fleet, and what each event does.

use super::{Association, World, faults::Fault, model::Ms};

/// Where decibels apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every link of a site's radios.
    Site(usize),
    /// Every link of one access point.
    Device(usize),
    /// Every link of one client.
    Client(usize),
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Links in scope lose `db`.
    Attenuate {
        /// Where.
        scope: Scope,
        /// Decibels taken away; negative = gained.
        db: f64,
    },
    /// Radios in scope hear `db` more noise.
    Interfere {
        /// Where.
        scope: Scope,
        /// Decibels added to the noise floor.
        db: f64,
    },
    /// Devices lose power: silence, and a restart when it returns.
    PowerOff {
        /// Which.
        devices: Vec<usize>,
        /// Open connections are reset at once (a reboot) instead of falling silent.
        graceful: bool,
    },
    /// The path to a device is cut; it goes on running.
    Silence {
        /// Which.
        device: usize,
    },
    /// An access point answers, but nobody is associated.
    LoseClients {
        /// Which.
        device: usize,
    },
    /// A client moves to another radio; with a duration, it comes back.
    Roam {
        /// Who.
        client: usize,
        /// Where to.
        radio: usize,
        /// How long the radio that was left still shows it.
        linger_ms: Ms,
    },
    /// Clients come and go.
    Flap {
        /// Who.
        clients: Vec<usize>,
        /// Time between one change and the next.
        every_ms: Ms,
    },
    /// The inventory's password stops working; open connections are reset.
    WrongPassword {
        /// Which.
        device: usize,
    },
    /// A device takes longer over every answer.
    Slow {
        /// Which.
        device: usize,
        /// Milliseconds longer.
        ms: u32,
    },
    /// Something is wrong with a device's API.
    Fault {
        /// Which.
        device: usize,
        /// What.
        fault: Fault,
    },
    /// The path to a device forgets the connections that are open: they hear nothing more, new ones work.
    ForgetPaths {
        /// Which.
        device: usize,
    },
    /// Everything that is going on ends; roamed clients stay where they are.
    Heal,
}

/// An action with its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it begins.
    pub at_ms: Ms,
    /// How long it lasts; `None` = until healed.
    pub for_ms: Option<Ms>,
    /// What happens.
    pub action: Action,
}

/// An entry of the queue.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Begin(u64, Event),
    End(u64),
    Associate {
        client: usize,
        plans: u32,
    },
    FlapTurn(u64),
    NoticeLeft {
        radio: usize,
        association: Association,
    },
}

/// An action that has begun and not ended.
#[derive(Debug, Clone)]
pub(super) struct Running {
    action: Action,
    /// Flap: the clients are gone. Roam: where the client was.
    away: bool,
    came_from: usize,
}

impl World {
    /// Puts an event in the queue. An event of the past begins at the next step of time.
    pub fn schedule(&mut self, event: Event) {
        let id = self.next_id + 1;
        self.push(event.at_ms.max(self.now_ms), Step::Begin(id, event));
    }

    pub(super) fn carry_out(&mut self, step: Step) {
        match step {
            Step::Begin(id, event) => self.begin(id, event),
            Step::End(id) => self.end(id),
            Step::Associate { client, plans } => self.associate(client, plans),
            Step::FlapTurn(id) => self.flap_turn(id),
            Step::NoticeLeft { radio, association } => {
                self.radios[radio]
                    .lingering
                    .retain(|(a, _)| *a != association);
            }
        }
    }

    fn begin(&mut self, id: u64, event: Event) {
        let mut running = Running {
            action: event.action.clone(),
            away: false,
            came_from: 0,
        };
        match event.action {
            Action::Heal => {
                let ids: Vec<u64> = self.running.keys().copied().collect();
                for id in ids {
                    if !matches!(self.running[&id].action, Action::Roam { .. }) {
                        self.end(id);
                    }
                }
                return;
            }
            Action::Attenuate { scope, db } => {
                self.attenuation.add(scope, db);
                self.history.spell(id, scope, db, self.now_ms);
            }
            Action::Interfere { scope, db } => self.interference.add(scope, db),
            Action::PowerOff { devices, graceful } => {
                for device in devices {
                    self.cut_power(device, graceful);
                }
            }
            Action::Silence { device } => self.silence(device, true),
            Action::LoseClients { device } => self.lose_clients(device, true),
            Action::Roam {
                client,
                radio,
                linger_ms,
            } => {
                running.came_from = self.clients[client].target;
                self.roam(client, radio, linger_ms);
            }
            Action::Flap { .. } => self.push(self.now_ms, Step::FlapTurn(id)),
            Action::WrongPassword { device } => self.change_password(device, true),
            Action::Slow { device, ms } => self.devices[device].slow_ms += ms,
            Action::Fault { device, fault } => self.fault(id, device, fault, true),
            Action::ForgetPaths { device } => {
                self.forget_paths(device);
                return;
            }
        }
        self.running.insert(id, running);
        if let Some(for_ms) = event.for_ms {
            self.push(self.now_ms + for_ms, Step::End(id));
        }
    }

    fn end(&mut self, id: u64) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        match running.action {
            Action::Attenuate { scope, db } => {
                self.attenuation.add(scope, -db);
                self.history.spell_over(id, self.now_ms);
            }
            Action::Interfere { scope, db } => self.interference.add(scope, -db),
            Action::PowerOff { devices, graceful } => {
                for device in devices {
                    self.restore_power(device, graceful);
                }
            }
            Action::Silence { device } => self.silence(device, false),
            Action::LoseClients { device } => self.lose_clients(device, false),
            Action::Roam {
                client, linger_ms, ..
            } => {
                self.roam(client, running.came_from, linger_ms);
            }
            Action::Flap { clients, .. } if running.away => self.block(&clients, false),
            Action::WrongPassword { device } => self.change_password(device, false),
            Action::Slow { device, ms } => self.devices[device].slow_ms -= ms,
            Action::Fault { device, fault } => self.fault(id, device, fault, false),
            Action::Flap { .. } | Action::Heal | Action::ForgetPaths { .. } => {}
        }
    }

    fn cut_power(&mut self, device: usize, graceful: bool) {
        self.devices[device].power_cuts += 1;
        if self.devices[device].power_cuts == 1 {
            self.log_cable(device, false);
        }
        if graceful {
            self.devices[device].boots += 1;
            self.changed.insert(device);
        }
        self.power_changed(device);
    }

    fn restore_power(&mut self, device: usize, graceful: bool) {
        let state = &mut self.devices[device];
        state.power_cuts -= 1;
        if state.power_cuts == 0 {
            state.booted_ms = self.now_ms;
            state.boots += 1;
            self.changed.insert(device);
            self.log_start(device, graceful);
        }
        self.power_changed(device);
    }

    fn power_changed(&mut self, device: usize) {
        let plan = std::sync::Arc::clone(&self.plan);
        self.dirty_sites.insert(plan.devices[device].site);
        let site = &plan.sites[plan.devices[device].site];
        let caps = site
            .radios
            .iter()
            .copied()
            .filter(|r| plan.radios[*r].reporter().0 == device);
        for radio in plan.devices[device].radios.iter().copied().chain(caps) {
            self.reconsider_radio(radio);
        }
        if let Some(client) = plan.devices[device].client {
            self.touch_client(client);
            self.reconsider(client, None);
        }
    }

    fn reconsider_radio(&mut self, radio: usize) {
        self.radios[radio].lingering.clear();
        for client in self.radios[radio].clients.clone() {
            self.reconsider(client, None);
        }
    }

    fn silence(&mut self, device: usize, begins: bool) {
        let silences = &mut self.devices[device].silences;
        *silences = if begins { *silences + 1 } else { *silences - 1 };
        self.touch_device(device);
    }

    fn touch_device(&mut self, device: usize) {
        self.dirty_sites.insert(self.plan.devices[device].site);
        if let Some(client) = self.plan.devices[device].client {
            self.touch_client(client);
        }
    }

    fn lose_clients(&mut self, device: usize, begins: bool) {
        let plan = std::sync::Arc::clone(&self.plan);
        for &radio in &plan.devices[device].radios {
            let lost = &mut self.radios[radio].lost;
            *lost = if begins { *lost + 1 } else { *lost - 1 };
            self.reconsider_radio(radio);
        }
    }

    fn roam(&mut self, client: usize, radio: usize, linger_ms: Ms) {
        let from = self.clients[client].target;
        if from == radio {
            return;
        }
        self.touch_client(client);
        if let (Some(association), true) = (self.clients[client].association, linger_ms > 0) {
            let until = self.now_ms + linger_ms;
            self.radios[from].lingering.push((association, until));
            self.push(
                until,
                Step::NoticeLeft {
                    radio: from,
                    association,
                },
            );
        }
        self.radios[from].clients.retain(|c| *c != client);
        self.radios[radio].clients.push(client);
        self.radios[radio]
            .lingering
            .retain(|(a, _)| a.client != client);
        self.clients[client].target = radio;
        // A roaming station joins the next radio before the first one misses it.
        self.reconsider(client, Some(0));
        self.touch_client(client);
        let planned = self.clients[client].plans;
        if self.may_associate(client) {
            self.associate(client, planned);
            self.clients[client].plans += 1;
        }
        if let Some(link) = self.clients[client].association {
            self.log_roaming(link, from);
        }
    }

    fn block(&mut self, clients: &[usize], begins: bool) {
        for &client in clients {
            let blocked = &mut self.clients[client].blocked;
            *blocked = if begins { *blocked + 1 } else { *blocked - 1 };
            self.reconsider(client, Some(0));
        }
    }

    fn flap_turn(&mut self, id: u64) {
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        let Action::Flap { clients, every_ms } = running.action.clone() else {
            return;
        };
        running.away = !running.away;
        let away = running.away;
        self.block(&clients, away);
        self.push(self.now_ms + every_ms.max(100), Step::FlapTurn(id));
    }

    fn change_password(&mut self, device: usize, begins: bool) {
        let state = &mut self.devices[device];
        state.wrong_passwords = if begins {
            state.wrong_passwords + 1
        } else {
            state.wrong_passwords - 1
        };
        state.boots += u32::from(begins);
        self.changed.insert(device);
        self.touch_device(device);
        self.note_moment(device);
    }
}
