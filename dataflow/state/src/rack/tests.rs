use std::collections::BTreeMap;

use super::*;

type Value = (Mac48, u32);

impl OfMac for Value {
    const VACANT: Self = (Mac48::new([0; 3]), u32::MAX);

    fn is_vacant(&self) -> bool {
        self.1 == u32::MAX
    }

    fn mac(&self) -> Mac48 {
        self.0
    }
}

fn mac(n: u32) -> Mac48 {
    Mac(0x488F_5A00_0000 + u64::from(n)).into()
}

/// Tenant, address and value of a number: neighbours have different tenants, addresses several values.
fn of(n: u32) -> (u32, Mac48, u32) {
    (n % 3, mac(n / 4), n)
}

/// Values lie in order, as near to their homes as can be, and are as many as it says.
fn assert_sound(row: &Row<Value>) {
    let mut vacant_before = 0;
    let mut before = None;
    for (at, value) in row.places.iter().enumerate() {
        if value.is_vacant() {
            vacant_before = at + 1;
            continue;
        }
        let home = row.home(value.mac());
        assert!((vacant_before..=at).contains(&home), "{home} {at}");
        assert!(before <= Some(order(value.mac())));
        before = Some(order(value.mac()));
    }
    let values = row.places.iter().filter(|value| !value.is_vacant());
    assert_eq!(values.count(), row.len);
}

/// By how many places a value lies behind its home at most.
fn farthest(row: &Row<Value>) -> usize {
    let values = (0..)
        .zip(&row.places)
        .filter(|(_, value)| !value.is_vacant());
    let far = values.map(|(at, value)| at - row.home(value.mac()));
    far.max().unwrap_or_default()
}

#[test]
fn a_rack_holds_what_a_map_would() {
    let (mut rack, mut map) = (Rack::default(), BTreeMap::<_, Vec<u32>>::new());
    for n in 0..40_000 {
        let (tenant, mac, value) = of(n);
        rack.put(tenant, (mac, value));
        map.entry((tenant, mac)).or_default().push(value);
        if n % 5 != 0 {
            continue;
        }
        for gone in [n / 2, n, n / 3] {
            let (tenant, mac, value) = of(gone);
            let taken = rack.take(tenant, mac, |other| other.1 == value);
            let all = map.entry((tenant, mac)).or_default();
            let at = all.iter().position(|other| *other == value);
            assert_eq!(taken.map(|taken| taken.1), at.map(|at| all.remove(at)));
        }
    }
    rack.rows.values().for_each(assert_sound);
    for ((tenant, mac), values) in &map {
        let here = rack.all(*tenant, *mac);
        let here: Vec<u32> = here.map(|value| value.1).collect();
        assert_eq!(here, *values);
    }
    let mut values: Vec<_> = (rack.iter())
        .map(|(tenant, value)| (tenant, value.0, value.1))
        .collect();
    values.sort_unstable_by_key(|value| value.2);
    let mut all: Vec<u32> = map.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(rack.len(), all.len());
    assert!(values.into_iter().eq(all.into_iter().map(of)));
}

#[test]
fn small_rows_are_sound_whatever_comes_and_goes() {
    for seed in 0..200 {
        let mut row = Row::default();
        let mut held: Vec<u32> = Vec::new();
        for n in 0..100_u32 {
            let at = (n * 7 + seed) as usize;
            if n % 3 == 2 && !held.is_empty() {
                let gone = held.swap_remove(at % held.len());
                let here = row.find(mac(gone));
                assert_eq!(here.len(), 1);
                row.remove(here.start);
            } else {
                let value = seed * 1_000 + n;
                assert!(row.put((mac(value), value)));
                held.push(value);
            }
            assert_sound(&row);
        }
        assert!(held.iter().all(|n| row.find(mac(*n)).len() == 1));
        assert_eq!(row.find(mac(999_999)).len(), 0);
    }
}

#[test]
fn an_address_that_many_have_pushes_nobody_far_from_home() {
    let mut rack = Rack::default();
    for n in 0..5_000 {
        rack.put(1, (mac(0), n));
        rack.put(1, (mac(1 + n), n));
    }
    assert_eq!(rack.all(1, mac(0)).count(), 5_000);
    assert_eq!((rack.len(), rack.iter().count()), (10_000, 10_000));
    rack.rows.values().for_each(assert_sound);
    let row = &rack.rows[&1];
    assert!(farthest(row) < 500, "{}", farthest(row));
    rack.all_mut(1, mac(0)).for_each(|value| value.1 += 1);
    for n in 1..=5_000 {
        let taken = rack.take(1, mac(0), |value| value.1 == n);
        assert_eq!(taken, Some((mac(0), n)));
    }
    assert_eq!((rack.len(), rack.crowds.len()), (5_000, 0));
}

#[test]
fn values_of_an_address_are_changed_in_place() {
    let mut rack = Rack::default();
    (0..1_000).for_each(|n| rack.put(7, (mac(n), 1)));
    rack.all_mut(7, mac(77)).for_each(|value| value.1 = 2);
    assert!(rack.all(7, mac(77)).eq(&[(mac(77), 2)]));
    assert_eq!(rack.iter().filter(|(_, value)| value.1 == 2).count(), 1);
    assert_eq!(rack.all_mut(8, mac(77)).count(), 0, "another tenant's");
    assert_eq!(rack.all(7, mac(1_000)).count(), 0);
}

#[test]
fn nothing_is_left_of_a_tenant_without_values() {
    let mut rack = Rack::default();
    rack.put(7, (mac(1), 1));
    assert_eq!(rack.take(7, mac(1), |value| value.1 == 2), None);
    assert_eq!(rack.take(7, mac(1), |_| true), Some((mac(1), 1)));
    assert_eq!(rack.take(7, mac(1), |_| true), None);
    assert_eq!((rack.len(), rack.rows.len()), (0, 0));
}

#[test]
fn a_row_has_few_places_to_spare_but_enough() {
    let mut row = Row::default();
    for n in 0..50_000 {
        assert!(row.put((mac(n), 0)));
        let (len, places) = (row.len, row.places.capacity());
        assert!(places <= len * 49 / 40 + 64, "{places} for {len}");
        if n % 500 == 0 {
            assert!(farthest(&row) < 200, "{} at {n}", farthest(&row));
        }
    }
    assert_sound(&row);
}
