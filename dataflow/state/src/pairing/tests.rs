use super::*;

/// Ids against the order of numbers: ties are decided by id.
fn id(number: u32) -> DeviceId {
    DeviceId::from_bytes(u128::from(1_000 - number).to_be_bytes())
}

const fn address(mac: u16) -> Address {
    Address {
        tenant: 1,
        mac: Mac48::new([0, 0, mac]),
    }
}

const fn claim(mac: u16, device: u32, since: i64, came: bool) -> AddressClaim {
    AddressClaim {
        address: address(mac),
        device,
        since: Timestamp(since),
        came,
    }
}

const fn link(mac: u16, ap: u32) -> ClientLink {
    ClientLink {
        client: address(mac),
        ap,
        radio: Mac48::new([9, 9, 9]),
    }
}

/// A slot of claims: who changed hands.
fn slot(owners: &mut Owners, slot: u64, claims: &[AddressClaim]) -> OwnersOut {
    let mut out = OwnersOut::default();
    claims.iter().for_each(|claim| owners.claim(claim, id));
    owners.end_slot(slot, id, &mut out);
    out
}

fn ends(
    far_ends: &mut FarEnds,
    owners: &mut Owners,
    (slot, touched): (u64, &[Address]),
    came: &[ClientLink],
) -> Vec<FarEnd> {
    let mut out = Vec::new();
    for link in came {
        far_ends.link(*link, true, &mut out);
    }
    far_ends.end_slot(slot, touched, (owners, id), &mut out);
    out
}

#[test]
fn what_a_fleet_has_several_of_for_each_client_is_small() {
    assert_eq!((size_of::<Claim>(), size_of::<Paired>()), (18, 14));
}

#[test]
fn an_address_belongs_to_the_first_claim_and_of_several_to_the_least_id() {
    let mut owners = Owners::default();
    let out = slot(
        &mut owners,
        1,
        &[claim(5, 1, 20, true), claim(5, 2, 20, true)],
    );
    assert_eq!(out.changed, [(address(5), 2, true)], "the least id");
    let out = slot(&mut owners, 2, &[claim(5, 3, -10, true)]);
    assert_eq!(
        out.changed,
        [(address(5), 2, false), (address(5), 3, true)],
        "the first, also before 1970"
    );
    let out = slot(&mut owners, 3, &[claim(5, 2, 20, false)]);
    assert_eq!(out.changed, [], "the owner stays");
    let gone = [claim(5, 3, -10, false), claim(5, 1, 20, false)];
    let out = slot(&mut owners, 4, &gone);
    assert_eq!(out.changed, [(address(5), 3, false)]);
    // Another tenant's address of the same letters is another.
    let mut other = claim(5, 1, 20, true);
    other.address.tenant = 2;
    let out = slot(&mut owners, 5, &[other]);
    assert_eq!(out.touched, [other.address]);
}

#[test]
fn what_comes_and_goes_in_one_slot_is_not_told() {
    let mut owners = Owners::default();
    slot(&mut owners, 1, &[claim(5, 1, 20, true)]);
    let moved = [
        claim(5, 1, 20, false),
        claim(5, 2, 10, true),
        claim(5, 2, 10, false),
        claim(5, 1, 20, true),
    ];
    let out = slot(&mut owners, 2, &moved);
    assert!(out.changed.is_empty() && out.touched.is_empty());
}

#[test]
fn an_access_point_is_not_at_the_far_end_of_its_own_link() {
    let (mut owners, mut far_ends) = (Owners::default(), FarEnds::default());
    let out = slot(
        &mut owners,
        1,
        &[claim(5, 1, 10, true), claim(5, 2, 20, true)],
    );
    let links = [link(5, 1), link(5, 7)];
    let told = ends(&mut far_ends, &mut owners, (1, &out.touched), &links);
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(link(5, 1), 2, true)), "{told:?}");
    assert!(told.contains(&(link(5, 7), 1, true)), "{told:?}");
    // Only the second claim goes: the link that it was for loses its far end.
    let out = slot(&mut owners, 2, &[claim(5, 2, 20, false)]);
    assert_eq!(out.changed, []);
    let told = ends(&mut far_ends, &mut owners, (2, &out.touched), &[]);
    assert_eq!(told, [(link(5, 1), 2, false)]);
    let mut out = Vec::new();
    far_ends.link(link(5, 7), false, &mut out);
    far_ends.link(link(5, 1), false, &mut out);
    assert_eq!(out, [(link(5, 7), 1, false)]);
}

#[test]
fn a_link_learns_who_owned_its_address_in_its_slot() {
    let (mut owners, mut far_ends) = (Owners::default(), FarEnds::default());
    // Claims are three slots ahead of links.
    let one = slot(&mut owners, 1, &[claim(5, 1, 10, true)]);
    let two = slot(&mut owners, 2, &[]);
    let three = slot(
        &mut owners,
        3,
        &[claim(5, 1, 10, false), claim(5, 2, 15, true)],
    );
    let four = slot(&mut owners, 4, &[claim(5, 2, 15, false)]);
    let told = ends(&mut far_ends, &mut owners, (1, &one.touched), &[]);
    assert_eq!(told, []);
    let told = ends(&mut far_ends, &mut owners, (2, &two.touched), &[link(5, 7)]);
    assert_eq!(told, [(link(5, 7), 1, true)]);
    let told = ends(&mut far_ends, &mut owners, (3, &three.touched), &[]);
    assert_eq!(told, [(link(5, 7), 1, false), (link(5, 7), 2, true)]);
    let told = ends(&mut far_ends, &mut owners, (4, &four.touched), &[]);
    assert_eq!(told, [(link(5, 7), 2, false)]);
    assert!(owners.past.is_empty(), "{:?}", owners.past);
}

#[test]
fn owners_of_remote_radios_are_told_as_long_as_somebody_reports_them() {
    let mut owners = Owners::default();
    let radio = |more| RemoteRadio {
        address: address(5),
        more,
    };
    let mut out = OwnersOut::default();
    owners.radio(&radio(true));
    owners.radio(&radio(true));
    owners.end_slot(1, id, &mut out);
    assert_eq!(out.remote, [], "nobody owns it");
    let out = slot(&mut owners, 2, &[claim(5, 1, 10, true)]);
    assert_eq!(out.remote, [(address(5), 1, true)]);
    owners.radio(&radio(false));
    assert_eq!(slot(&mut owners, 3, &[]).remote, [], "one still does");
    owners.radio(&radio(false));
    assert_eq!(slot(&mut owners, 4, &[]).remote, [(address(5), 1, false)]);
    let out = slot(&mut owners, 5, &[claim(5, 1, 10, false)]);
    assert_eq!((out.remote, out.changed.len()), (vec![], 1));
}
