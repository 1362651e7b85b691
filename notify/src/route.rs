//! Who is told: a function of the request and of what people decided, of nothing else.
//!
//! Traps avoided: an incident of which several routes lead to one channel is told there once. A route whose channels are
//! all gone or switched off has not matched, so the fallback still catches what it would have told. The end of an incident
//! goes where its begin went, whatever routes, hours and severities are now.

use std::collections::HashSet;

use mast_schemas::Timestamp;
use mast_schemas::hours::Hours;
use mast_schemas::notifications::{Occasion, Severity};
use uuid::Uuid;

/// A route, as people decided it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Severities from this on.
    pub least_severity: Severity,
    /// Of which occasions.
    pub occasions: Vec<Occasion>,
    /// At which sites; null: everywhere.
    pub sites: Option<Vec<Uuid>>,
    /// When.
    pub hours: Hours,
    /// Only what no other route tells.
    pub fallback: bool,
    /// To whom.
    pub channels: Vec<Uuid>,
}

/// What a request says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What is told.
    pub occasion: Occasion,
    /// How bad it is.
    pub severity: Severity,
    /// Where; null: at no site, or at several.
    pub site: Option<Uuid>,
    /// When it happened.
    pub happened_at: Timestamp,
}

/// A channel that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub channel: Uuid,
    /// Whether the end of the incident is told there too.
    pub tells_end: bool,
}

impl Route {
    fn leads(&self, asked: &Asked) -> bool {
        let here = |sites: &Vec<Uuid>| asked.site.is_some_and(|site| sites.contains(&site));
        self.occasions.contains(&asked.occasion)
            && asked.severity >= self.least_severity
            && self.sites.as_ref().is_none_or(here)
            && self.hours.contain(asked.happened_at)
    }
}

/// The channels of a tenant.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    /// All that are there.
    pub all: HashSet<Uuid>,
    /// Those that are switched on.
    pub open: HashSet<Uuid>,
}

/// Whom a request tells, each once, in the order of their ids; `before` are those that were told of the incident already. The end
/// is also for a channel that is switched off just now: it waits there, as its begin may.
pub fn decide(asked: &Asked, routes: &[Route], channels: &Channels, before: &[Told]) -> Vec<Told> {
    let is_open = |channel: &Uuid| channels.open.contains(channel);
    let mut told: Vec<Told> = if asked.occasion == Occasion::Resolved {
        let ends = before
            .iter()
            .filter(|told| told.tells_end && channels.all.contains(&told.channel));
        ends.copied().collect()
    } else {
        let lead = |fallback: bool| {
            let routes = routes
                .iter()
                .filter(move |r| r.fallback == fallback && r.leads(asked));
            let told = routes.flat_map(|route| {
                let tells_end = route.occasions.contains(&Occasion::Resolved);
                let channels = route.channels.iter().filter(|channel| is_open(channel));
                channels.map(move |channel| Told {
                    channel: *channel,
                    tells_end,
                })
            });
            told.collect::<Vec<_>>()
        };
        Some(lead(false))
            .filter(|told| !told.is_empty())
            .unwrap_or_else(|| lead(true))
    };
    // One that tells the end before one that doesn't: the first of each channel stays.
    told.sort_by_key(|told| (told.channel, !told.tells_end));
    told.dedup_by_key(|told| told.channel);
    told
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use chrono_tz::Tz;
    use mast_schemas::hours::Days;

    use super::*;

    const ALL: &[Occasion] = Occasion::ALL;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn route(channels: &[u128]) -> Route {
        Route {
            least_severity: Severity::Info,
            occasions: ALL.to_vec(),
            sites: None,
            hours: Hours {
                days: Days::ALL,
                span: None,
                zone: Tz::UTC,
            },
            fallback: false,
            channels: channels.iter().copied().map(id).collect(),
        }
    }

    fn asked(occasion: Occasion, severity: Severity) -> Asked {
        Asked {
            occasion,
            severity,
            site: Some(id(100)),
            happened_at: at("2026-03-04T10:00:00Z"),
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(
            DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_micros(),
        )
    }

    fn ten() -> Channels {
        let all: HashSet<Uuid> = (1..10).map(id).collect();
        Channels {
            open: all.clone(),
            all,
        }
    }

    /// Numbers of the channels that are told.
    fn told(asked: &Asked, routes: &[Route]) -> Vec<u128> {
        decide(asked, routes, &ten(), &[])
            .iter()
            .map(|told| told.channel.as_u128())
            .collect()
    }

    #[test]
    fn a_channel_is_told_once_however_many_routes_lead_to_it() {
        let asked = asked(Occasion::Opened, Severity::Warning);
        assert_eq!(
            told(&asked, &[route(&[2, 1]), route(&[1, 3]), route(&[1, 1])]),
            [1, 2, 3]
        );
    }

    #[test]
    fn severity_occasion_and_site_decide() {
        let critical = Route {
            least_severity: Severity::Critical,
            ..route(&[1])
        };
        let opened = Route {
            occasions: vec![Occasion::Opened],
            ..route(&[2])
        };
        let here = Route {
            sites: Some(vec![id(100), id(101)]),
            ..route(&[3])
        };
        let elsewhere = Route {
            sites: Some(vec![id(101)]),
            ..route(&[4])
        };
        let nowhere = Route {
            sites: Some(Vec::new()),
            ..route(&[5])
        };
        let routes = [critical, opened, here, elsewhere, nowhere];
        assert_eq!(
            told(&asked(Occasion::Opened, Severity::Warning), &routes),
            [2, 3]
        );
        assert_eq!(
            told(&asked(Occasion::Escalated, Severity::Critical), &routes),
            [1, 3]
        );
        let somewhere = Asked {
            site: None,
            ..asked(Occasion::Opened, Severity::Critical)
        };
        assert_eq!(told(&somewhere, &routes), [1, 2]);
    }

    #[test]
    fn the_fallback_tells_what_nobody_else_does() {
        let fallback = |channels: &[u128]| Route {
            fallback: true,
            ..route(channels)
        };
        let critical = |channels: &[u128]| Route {
            least_severity: Severity::Critical,
            ..route(channels)
        };
        let routes = [critical(&[1]), fallback(&[9])];
        assert_eq!(
            told(&asked(Occasion::Opened, Severity::Critical), &routes),
            [1]
        );
        assert_eq!(
            told(&asked(Occasion::Opened, Severity::Warning), &routes),
            [9]
        );
        // A channel that is gone, or switched off, tells nothing.
        assert_eq!(
            told(
                &asked(Occasion::Opened, Severity::Critical),
                &[critical(&[77]), fallback(&[9])]
            ),
            [9]
        );
        assert_eq!(
            told(
                &asked(Occasion::Opened, Severity::Critical),
                &[critical(&[]), fallback(&[9])]
            ),
            [9]
        );
    }

    #[test]
    fn the_end_goes_where_the_begin_went() {
        // The fifth is switched off, the fourth is gone.
        let all: HashSet<Uuid> = [1, 2, 3, 5].map(id).into();
        let open: HashSet<Uuid> = [1, 2, 3].map(id).into();
        let channels = Channels { all, open };
        let told = |n, tells_end| Told {
            channel: id(n),
            tells_end,
        };
        let before = [
            told(1, true),
            told(2, false),
            told(4, true),
            told(1, false),
            told(5, true),
        ];
        let end = asked(Occasion::Resolved, Severity::Info);
        let never = Route {
            least_severity: Severity::Critical,
            ..route(&[3])
        };
        assert_eq!(
            decide(&end, &[never], &channels, &before),
            [told(1, true), told(5, true)],
            "also where it waits until the channel is switched on"
        );
        assert_eq!(decide(&end, &[route(&[3])], &channels, &[]), []);
    }

    #[test]
    fn a_route_that_tells_the_end_wins_over_one_that_does_not() {
        let begins = Route {
            occasions: vec![Occasion::Opened],
            ..route(&[1, 2])
        };
        let told = decide(
            &asked(Occasion::Opened, Severity::Info),
            &[begins, route(&[1])],
            &ten(),
            &[],
        );
        assert_eq!(
            told.iter().map(|t| t.tells_end).collect::<Vec<_>>(),
            [true, false]
        );
    }
}
