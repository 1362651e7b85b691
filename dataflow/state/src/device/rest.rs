//! What few devices have: those that serve clients, or tell addresses. It lies apart from the devices, which name it by its
//! place.

use mast_schemas::records::Source;

use crate::addresses::Said;
use crate::compact::Slab;
use crate::device::air::Added;
use crate::table::SourceTable;

/// Place of a device's rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Which(u32);

impl Which {
    /// It has none.
    pub(super) const NONE: Self = Self(u32::MAX);
}

#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Registration tables, each by the first that was whole.
    pub(super) tables: Box<[SourceTable]>,
    /// Once it has shown an ARP or DHCP table.
    pub(super) said: Option<Box<Said>>,
    pub(super) added: Added,
}

impl Rest {
    /// The table of a source, an empty one if there was none.
    pub(super) fn table(&mut self, source: Source) -> &mut SourceTable {
        let tables = &mut self.tables;
        let i = tables.iter().position(|table| table.source == source);
        let i = i.unwrap_or_else(|| {
            let mut more = std::mem::take(tables).into_vec();
            more.reserve_exact(1);
            more.push(SourceTable::new(source));
            *tables = more.into_boxed_slice();
            tables.len() - 1
        });
        &mut tables[i]
    }
}

/// Of all devices that have one.
#[derive(Debug, Default)]
pub(super) struct Rests(Slab<Rest>);

impl Rests {
    pub(super) fn get(&self, which: Which) -> Option<&Rest> {
        (which != Which::NONE).then(|| &self.0[which.0])
    }

    pub(super) fn get_mut(&mut self, which: Which) -> Option<&mut Rest> {
        (which != Which::NONE).then(|| &mut self.0[which.0])
    }

    /// That of a device, which has one from now on.
    pub(super) fn of(&mut self, which: &mut Which) -> &mut Rest {
        if *which == Which::NONE {
            *which = Which(self.0.put(Rest::default()));
        }
        &mut self.0[which.0]
    }

    /// That of a device which is deleted.
    pub(super) fn take(&mut self, which: Which) -> Rest {
        if which == Which::NONE {
            return Rest::default();
        }
        self.0.free(which.0);
        std::mem::take(&mut self.0[which.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_made_when_it_is_wanted_and_goes_with_its_device() {
        let (mut rests, mut which) = (Rests::default(), Which::NONE);
        assert!(rests.get(which).is_none() && rests.get_mut(which).is_none());
        assert!(rests.take(which).tables.is_empty());
        for source in [Source::Wireless, Source::Capsman, Source::Wireless] {
            assert_eq!(rests.of(&mut which).table(source).source, source);
        }
        let mut other = Which::NONE;
        assert!(rests.of(&mut other).tables.is_empty());
        assert_eq!(rests.get(which).map(|rest| rest.tables.len()), Some(2));
        assert_eq!(rests.take(which).tables.len(), 2);
        let mut next = Which::NONE;
        assert!(rests.of(&mut next).tables.is_empty());
        assert_eq!(next, which, "its place is taken again");
    }

    #[test]
    fn a_rest_is_small() {
        assert!(size_of::<Rest>() <= 32, "{}", size_of::<Rest>());
    }
}
