//! Records of the log's topics, and the inventory.

use bytes::Bytes;
use mast_schemas::column::Record;
use mast_schemas::control::ControlRecord;
use mast_schemas::epochs::Binding;
use mast_schemas::inventory::Inventory;
use mast_schemas::message::{Header, read_polls, read_section, write_polls};
use mast_schemas::records::{
    Arp, ConfigState, DhcpLease, Event, Firmware, Interface, Neighbor, Poll, Radio, Registration,
    RouteSummary,
};
use mast_schemas::tail::Ask;

/// A telemetry message: two bytes with the length of its header, the header, the body. What is read can be written and
/// read again.
pub(crate) fn message(data: &[u8]) {
    let Some((header, body)) = message_of(data) else {
        return;
    };
    section::<Poll>(&header, &body);
    section::<Interface>(&header, &body);
    section::<Registration>(&header, &body);
    section::<Radio>(&header, &body);
    section::<Arp>(&header, &body);
    section::<DhcpLease>(&header, &body);
    section::<Neighbor>(&header, &body);
    section::<RouteSummary>(&header, &body);
    section::<Firmware>(&header, &body);
    section::<ConfigState>(&header, &body);
    section::<Event>(&header, &body);
    let Ok(polls) = read_polls(&header, &body) else {
        return;
    };
    let (again, body) = write_polls(&polls, header.producer, header.lease_epoch)
        .unwrap_or_else(|error| panic!("what was read can't be written: {error}"));
    let again = Header::decode(&again).unwrap_or_else(|error| panic!("{error}"));
    let read = read_polls(&again, &body).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(format!("{read:?}"), format!("{polls:?}"));
}

/// Header and body of an input, if the header can be read.
pub(crate) fn message_of(data: &[u8]) -> Option<(Header, Bytes)> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let (header, body) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let header = Header::decode(header).ok()?;
    let again = Header::decode(&header.encode());
    assert!(again.is_ok_and(|again| again == header));
    Some((header, Bytes::copy_from_slice(body)))
}

fn section<R: Record>(header: &Header, body: &Bytes) {
    if let Ok(Some(batch)) = read_section::<R>(header, body, None) {
        // Words of another build are refused, never taken for something else.
        let _ = R::rows(&batch);
    }
    let _ = read_section::<R>(header, body, Some(&["sequence", "device_id"]));
}

/// A change of control.
pub(crate) fn control(data: &[u8]) {
    if let Ok(record) = ControlRecord::decode(data) {
        assert_eq!(ControlRecord::decode(&record.encode()).ok(), Some(record));
    }
}

/// A binding of offsets to slots.
pub(crate) fn binding(data: &[u8]) {
    if let Ok(binding) = Binding::decode(data) {
        assert!(binding.first <= binding.last);
        assert_eq!(Binding::decode(&binding.encode()).ok(), Some(binding));
    }
}

/// A question to the tail of history.
pub(crate) fn tail_ask(data: &[u8]) {
    if let Ok(ask) = Ask::decode(data) {
        assert_eq!(Ask::decode(&ask.encode()).ok(), Some(ask));
    }
}

/// An inventory file.
pub(crate) fn inventory(data: &[u8]) {
    if let Ok(inventory) = serde_json::from_slice::<Inventory>(data) {
        let text = serde_json::to_vec(&inventory).unwrap_or_default();
        let again = serde_json::from_slice::<Inventory>(&text);
        // Numbers of more digits than a float has may come back as the next one to it.
        let names = |inventory: &Inventory| -> Vec<String> {
            let tenants = inventory.tenants.iter();
            let devices = tenants.flat_map(|tenant| &tenant.devices);
            devices.map(|device| device.name.clone()).collect()
        };
        assert!(again.is_ok_and(|again| names(&again) == names(&inventory)));
        assert!(!format!("{inventory:?}").contains("\"password\""));
    }
}
