//! When links of a radio were lost, and since when they are missing. At any time few links have such times, so they stand beside
//! the links instead of in each.

use mast_schemas::Timestamp;

use crate::compact::{Mac48, insert_tight};

/// Something of a link at a time: 14 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
struct Noted {
    mac: Mac48,
    at: Timestamp,
}

/// Losses and departures of a radio's links.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    /// By rising client; of one client in the order in which they came.
    losses: Vec<Noted>,
    /// By rising client, each once.
    departed: Vec<Noted>,
}

impl Absences {
    /// Where a client's losses are.
    fn range(&self, mac: Mac48) -> (usize, usize) {
        let begin = self.losses.partition_point(|loss| loss.mac < mac);
        let of_mac = self.losses[begin..].iter().take_while(|l| l.mac == mac);
        (begin, begin + of_mac.count())
    }

    /// A link was lost; the newest `most` losses are kept.
    pub(crate) fn lose(&mut self, mac: Mac48, at: Timestamp, most: usize) {
        let (begin, end) = self.range(mac);
        insert_tight(&mut self.losses, end, Noted { mac, at });
        let surplus = (end + 1 - begin).saturating_sub(most);
        self.losses.drain(begin..begin + surplus);
    }

    /// Losses of a link, oldest first.
    pub(crate) fn losses(&self, mac: Mac48) -> impl Iterator<Item = Timestamp> {
        let (begin, end) = self.range(mac);
        self.losses[begin..end].iter().map(|loss| loss.at)
    }

    fn find(&self, mac: Mac48) -> Result<usize, usize> {
        self.departed.binary_search_by_key(&mac, |noted| noted.mac)
    }

    /// A link that was there is missing.
    pub(crate) fn depart(&mut self, mac: Mac48, at: Timestamp) {
        if let Err(i) = self.find(mac) {
            insert_tight(&mut self.departed, i, Noted { mac, at });
        }
    }

    /// A link that was missing is there again.
    pub(crate) fn come_back(&mut self, mac: Mac48) {
        if let Ok(i) = self.find(mac) {
            self.departed.remove(i);
        }
        if self.departed.is_empty() {
            // An access point that was off for a while had them all here.
            self.departed = Vec::new();
        }
    }

    /// Since when a link is missing.
    pub(crate) fn departed_at(&self, mac: Mac48) -> Option<Timestamp> {
        self.find(mac).ok().map(|i| self.departed[i].at)
    }

    /// All links that are missing: since when, and the client.
    pub(crate) fn departed(&self) -> impl Iterator<Item = (Timestamp, Mac48)> {
        self.departed.iter().map(|noted| (noted.at, noted.mac))
    }

    /// A link is no more.
    pub(crate) fn forget(&mut self, mac: Mac48) {
        self.come_back(mac);
        let (begin, end) = self.range(mac);
        self.losses.drain(begin..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u16) -> Mac48 {
        Mac48::new([0, 0, n])
    }

    fn losses(absences: &Absences, n: u16) -> Vec<i64> {
        absences.losses(mac(n)).map(|at| at.0).collect()
    }

    #[test]
    fn the_newest_losses_of_each_link_are_kept_in_their_order() {
        let mut absences = Absences::default();
        for at in [10, 30, 20, 40] {
            (1..4).for_each(|n| absences.lose(mac(n), Timestamp(at + i64::from(n)), 3));
        }
        absences.lose(mac(2), Timestamp(9), 0);
        for (n, expected) in [
            (0, vec![]),
            (1, vec![31, 21, 41]),
            (2, vec![]),
            (3, vec![33, 23, 43]),
        ] {
            assert_eq!(losses(&absences, n), expected);
        }
        absences.forget(mac(1));
        assert_eq!(
            (losses(&absences, 1), losses(&absences, 3).len()),
            (vec![], 3)
        );
    }

    #[test]
    fn a_link_is_departed_since_it_went_first_until_it_comes_back() {
        let mut absences = Absences::default();
        for (n, at) in [(3, 1), (1, 2), (2, 3), (1, 4)] {
            absences.depart(mac(n), Timestamp(at));
        }
        let departed: Vec<_> = absences.departed().map(|(at, _)| at.0).collect();
        assert_eq!(departed, [2, 3, 1]);
        absences.come_back(mac(2));
        absences.come_back(mac(2));
        absences.forget(mac(3));
        assert_eq!(
            [1, 2, 3].map(|n| absences.departed_at(mac(n)).map(|at| at.0)),
            [Some(2), None, None]
        );
        absences.come_back(mac(1));
        assert_eq!(absences.departed.capacity(), 0);
    }

    #[test]
    fn a_time_takes_little() {
        assert_eq!(size_of::<Noted>(), 14);
    }
}
