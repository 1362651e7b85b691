//! The one registry of thresholds: what state, alerts, tables and charts mean by "bad".

use crate::time::Span;

/// The numbers that decide. [`DEFAULT`] is the installation's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// A signal below this is bad.
    pub degraded_signal_dbm: i16,
    /// A signal at or above this is good.
    pub active_signal_dbm: i16,
    /// A CCQ below this is bad.
    pub degraded_ccq_percent: u16,
    /// A CCQ at or above this is good.
    pub active_ccq_percent: u16,
    /// Tables in a row that make a discovered link active or degraded.
    pub confirm_tables: u8,
    /// Bad tables in a row that degrade.
    pub degrade_tables: u8,
    /// Good tables in a row that end degradation.
    pub recover_tables: u8,
    /// Tables in a row without the client that make a link down.
    pub down_tables: u8,
    /// Losses within [`Thresholds::loss_window`] that degrade.
    pub losses: u8,
    /// The window of losses; also how long no loss may have happened before degradation ends.
    pub loss_window: Span,
    /// Down for so long is stale.
    pub stale_after: Span,
    /// Stale for so long is forgotten.
    pub forget_after: Span,
    /// As [`Thresholds::forget_after`], for clients that are no managed device.
    pub forget_unmanaged_after: Span,
    /// Owners begun within [`Thresholds::ambiguous_window`], more than which a MAC is ambiguous.
    pub ambiguous_owners: u8,
    /// The window of owners; also how long without a change of owner ends ambiguity.
    pub ambiguous_window: Span,
    /// Two associations that began closer together than this are one: uptimes are whole seconds, clocks differ a little.
    pub association_tolerance: Span,
    /// Failures in a row that make a device offline or unmanageable.
    pub device_failures: u8,
    /// Intervals past the due time of the next poll that make a device unobserved.
    pub unobserved_intervals: u8,
    /// Departed links that a radio keeps at least.
    pub departed_least: u32,
    /// Departed links that a radio keeps at most, as a multiple of its live ones.
    pub departed_factor: u32,
    /// A client whose last day is so much under the week before is degrading.
    pub trend_day_db: u8,
    /// A client whose last week is so much under the weeks before is degrading.
    pub trend_week_db: u8,
    /// So little under its baseline, a client is no longer degrading.
    pub trend_clear_db: u8,
    /// Of a window's time, so much must be covered by samples for it to say anything.
    pub trend_coverage_percent: u8,
    /// An alert of something that may be cut off only waits so long for what is above it to be known.
    pub alert_settle: Span,
    /// Openings and resolvings of one rule and subject within [`Thresholds::flap_window`] that are flapping.
    pub flap_changes: u8,
    /// The window of flapping.
    pub flap_window: Span,
}

/// The default thresholds.
pub const DEFAULT: Thresholds = Thresholds {
    degraded_signal_dbm: -80,
    active_signal_dbm: -77,
    degraded_ccq_percent: 40,
    active_ccq_percent: 50,
    confirm_tables: 2,
    degrade_tables: 2,
    recover_tables: 3,
    down_tables: 3,
    losses: 3,
    loss_window: Span::secs(600),
    stale_after: Span::hours(24),
    forget_after: Span::hours(24 * 30),
    forget_unmanaged_after: Span::hours(24),
    ambiguous_owners: 3,
    ambiguous_window: Span::secs(600),
    association_tolerance: Span::secs(5),
    device_failures: 2,
    unobserved_intervals: 2,
    departed_least: 64,
    departed_factor: 4,
    trend_day_db: 5,
    trend_week_db: 4,
    trend_clear_db: 3,
    trend_coverage_percent: 50,
    alert_settle: Span::secs(5),
    flap_changes: 5,
    flap_window: Span::secs(600),
};
