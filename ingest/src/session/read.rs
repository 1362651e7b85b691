//! Answers of one exchange, typed and joined.

use mast_schemas::records::{Source, Tables};
use routeros_api::{CallError, Reply};

use super::{Monitor, Round, Session};
use crate::parse::{self, Parsed};
use crate::plan::{Menu, is_absent};

impl Session {
    pub(super) fn menu_answer(
        &mut self,
        round: &mut Round,
        menu: Menu,
        answer: Result<Reply, CallError>,
    ) {
        if let Err(error) = &answer
            && is_absent(error)
        {
            self.plan.set_absent(menu);
            return;
        }
        let Some(reply) = round.count(name_of(menu), answer) else {
            return;
        };
        match menu {
            Menu::Interface => self.interfaces(round, &reply),
            Menu::Radios(source) => self.radio_list(source, &reply),
            Menu::Registrations(source) => round.tables.push((source, reply)),
            Menu::Package => {}
            Menu::Clock => self.learn_clock(&reply),
            Menu::Resource | Menu::Identity | Menu::Routerboard | Menu::Health => {
                if menu == Menu::Routerboard {
                    self.learn_board(&reply);
                }
                facts(round, menu, &reply);
            }
        }
    }

    fn interfaces(&mut self, round: &mut Round, reply: &Reply) {
        for sentence in &reply.rows {
            let Parsed { row, issues, .. } = parse::interface(round.stamp, sentence);
            round.polled.issues += issues.len() as u32;
            if let Some(row) = row {
                self.known.learn(&row);
                round.polled.interfaces.push(row);
            }
        }
        round.polled.tables = round.polled.tables.with(Tables::INTERFACE);
    }

    fn radio_list(&mut self, source: Source, reply: &Reply) {
        self.joined |= 1 << source as u32;
        self.radios.retain(|(of, _)| *of != source);
        // Twice: a virtual interface may be listed before the master it takes after.
        for _ in 0..2 {
            for sentence in &reply.rows {
                self.known.learn_radio(source == Source::Capsman, sentence);
            }
        }
        for sentence in &reply.rows {
            self.radios
                .push((source, parse::radio_config(sentence).row));
        }
    }

    /// The tables, now that the interfaces are known.
    pub(super) fn finish_tables(&mut self, round: &mut Round) {
        for row in &mut round.polled.interfaces {
            self.known.mark(row);
        }
        for (source, reply) in std::mem::take(&mut round.tables) {
            if source == Source::W60g {
                self.stations(round, &reply);
            } else {
                self.table(round, source, &reply);
            }
        }
        if round.slow {
            self.capsman_radios(round);
        }
    }

    fn table(&mut self, round: &mut Round, source: Source, reply: &Reply) {
        // Without the interface list the wifi tables don't say who is the access point.
        let told = matches!(source, Source::Wireless | Source::Capsman);
        if !told && self.joined & (1 << source as u32) == 0 {
            return;
        }
        for sentence in &reply.rows {
            let parsed = parse::registration(round.stamp, source, &self.known, None, sentence);
            round.polled.issues += parsed.issues.len() as u32;
            if let Some(row) = parsed.row {
                if self
                    .known
                    .get(&row.interface)
                    .is_none_or(|known| known.station.is_none())
                {
                    // A new interface: read the lists at the next poll.
                    self.last_slow = None;
                }
                round.polled.registrations.push(row);
            }
        }
        whole(round, source, reply.rows.len());
    }

    /// Stations of a 60 GHz access point, as far as they are connected.
    fn stations(&mut self, round: &mut Round, reply: &Reply) {
        for sentence in &reply.rows {
            let running =
                parse::first(sentence, "running").is_some_and(|v| parse::boolean(&v) == Ok(true));
            let parsed =
                parse::registration(round.stamp, Source::W60g, &self.known, None, sentence);
            if let Some(mut row) = parsed.row.filter(|_| running) {
                row.extra = None;
                round.stations.push(row);
            }
        }
    }

    pub(super) fn monitor_answer(
        &mut self,
        round: &mut Round,
        monitor: &Monitor,
        answer: Result<Reply, CallError>,
    ) {
        if monitor.source == Source::W60g {
            round.w60g_asked += 1;
        }
        // An interface that was removed a moment ago, or a menu without monitor, is no failure.
        if let Err(CallError::Trap { .. }) = answer {
            self.polls_since_slow = u32::MAX;
            return;
        }
        let Some(reply) = round.count("monitor", answer) else {
            return;
        };
        let Some((source, config)) = self.radios.get(monitor.place) else {
            return;
        };
        if *source == Source::W60g {
            round.w60g_whole += 1;
        }
        for sentence in &reply.rows {
            if *source == Source::W60g && parse::first(sentence, "remote-address").is_some() {
                let name = config.interface.as_deref();
                let parsed =
                    parse::registration(round.stamp, Source::W60g, &self.known, name, sentence);
                round.polled.registrations.extend(parsed.row);
            }
            if round.slow {
                let view = parse::radio_state(sentence);
                round.polled.issues += view.issues.len() as u32;
                round
                    .polled
                    .radios
                    .push(view.row.row(round.stamp, *source, Some(config)));
                round.polled.tables = round.polled.tables.with(Tables::RADIO);
            }
        }
    }

    /// Controlled radios tell all by their print.
    fn capsman_radios(&self, round: &mut Round) {
        for (source, view) in self.radios.iter().filter(|(of, _)| *of == Source::Capsman) {
            round
                .polled
                .radios
                .push(view.row(round.stamp, *source, None));
            round.polled.tables = round.polled.tables.with(Tables::RADIO);
        }
    }

    /// The 60 GHz table is whole when every monitor answered. What a monitor tells of a station is
    /// more than the list of stations does.
    pub(super) fn w60g_table(&mut self, round: &mut Round) {
        if self.joined & (1 << Source::W60g as u32) == 0 || round.w60g_whole < round.w60g_asked {
            return;
        }
        let present = self.radios.iter().any(|(of, _)| *of == Source::W60g);
        if present && round.w60g_asked == 0 && round.error.is_some() {
            return;
        }
        for station in std::mem::take(&mut round.stations) {
            let seen = round.polled.registrations.iter();
            let mut seen = seen.filter(|row| row.source == Source::W60g);
            if !seen.any(|row| row.mac == station.mac) {
                round.polled.registrations.push(station);
            }
        }
        let rows = round
            .polled
            .registrations
            .iter()
            .filter(|r| r.source == Source::W60g)
            .count();
        whole(round, Source::W60g, rows);
    }
}

fn whole(round: &mut Round, source: Source, rows: usize) {
    round.polled.tables = round.polled.tables.with(Tables::registration(source));
    let so_far = round.polled.registrations_read.unwrap_or(0);
    round.polled.registrations_read = Some(so_far + rows as u32);
}

fn facts(round: &mut Round, menu: Menu, reply: &Reply) {
    for sentence in &reply.rows {
        let Parsed { row, issues, .. } = match menu {
            Menu::Identity => parse::identity(sentence),
            Menu::Routerboard => parse::routerboard(sentence),
            Menu::Health => parse::health(sentence),
            _ => parse::resource(sentence),
        };
        round.polled.issues += issues.len() as u32;
        if menu == Menu::Health {
            round.polled.facts.add_sensors(row);
        } else {
            round.polled.facts.update(row);
        }
    }
}

fn name_of(menu: Menu) -> &'static str {
    match menu {
        Menu::Resource => "resource",
        Menu::Interface => "interface",
        Menu::Identity => "identity",
        Menu::Routerboard => "routerboard",
        Menu::Health => "health",
        Menu::Clock => "clock",
        Menu::Package => "package",
        Menu::Radios(_) => "radios",
        Menu::Registrations(_) => "registration table",
    }
}
