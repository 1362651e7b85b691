//! One file of a checkpoint: bytes to records and back, without touching the disk.

use mast_schemas::checkpoint::{FileHeader, Part, VERSION};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of a file.
///
/// # Errors
/// The reason, when a record cannot be serialized.
pub fn encode<'a, R: Serialize + 'a>(
    part: Part,
    key_group: u8,
    records: impl ExactSizeIterator<Item = &'a R>,
) -> Result<Vec<u8>, String> {
    let header = FileHeader {
        version: VERSION,
        part,
        key_group,
        records: records.len() as u64,
    };
    let mut bytes = postcard::to_stdvec(&header).map_err(|e| e.to_string())?;
    for record in records {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes = postcard::to_extend(record, bytes).map_err(|e| e.to_string())?;
        let length =
            u32::try_from(bytes.len() - start - 4).map_err(|_| "a record of 4 GiB".to_owned())?;
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Header and records of a file.
///
/// # Errors
/// The reason, when the bytes are not a whole file of `part`: cut off, changed, of another version.
pub fn decode<R: DeserializeOwned>(
    part: Part,
    bytes: &[u8],
) -> Result<(FileHeader, Vec<R>), String> {
    let (body, sum) = bytes
        .split_last_chunk::<4>()
        .ok_or("shorter than its checksum")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err("its checksum does not match: cut off or damaged".to_owned());
    }
    let (header, mut rest) =
        postcard::take_from_bytes::<FileHeader>(body).map_err(|e| e.to_string())?;
    if header.version != VERSION {
        return Err(format!(
            "records of version {}, this program reads {VERSION}",
            header.version
        ));
    }
    if header.part != part {
        return Err(format!(
            "holds {:?} where {part:?} is expected",
            header.part
        ));
    }
    let mut records =
        Vec::with_capacity(usize::try_from(header.records).unwrap_or(0).min(rest.len()));
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or("a record without its length")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (record, after) = after
            .split_at_checked(length)
            .ok_or("a record longer than the file")?;
        let read = postcard::from_bytes(record);
        records.push(read.map_err(|e| format!("record {}: {e}", records.len()))?);
        rest = after;
    }
    if records.len() as u64 != header.records {
        return Err(format!(
            "{} records, {} announced",
            records.len(),
            header.records
        ));
    }
    Ok((header, records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::checkpoint::CapRecord;
    use mast_schemas::{DeviceId, Mac, TenantId};

    fn caps(n: u64) -> Vec<CapRecord> {
        let cap = |i| CapRecord {
            tenant_id: TenantId::new(),
            radio_mac: Mac(i),
            reporters: vec![DeviceId::new(); i as usize % 3],
            ap_device_id: DeviceId::new(),
        };
        (0..n).map(cap).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let records = caps(7);
        let bytes = encode(Part::Caps, 9, records.iter()).unwrap();
        let (header, read) = decode::<CapRecord>(Part::Caps, &bytes).unwrap();
        assert_eq!((header.key_group, header.records, read), (9, 7, records));
    }

    #[test]
    fn any_cut_and_any_changed_byte_is_noticed() {
        let bytes = encode(Part::Caps, 0, caps(3).iter()).unwrap();
        for cut in 0..bytes.len() {
            assert!(
                decode::<CapRecord>(Part::Caps, &bytes[..cut]).is_err(),
                "cut at {cut}"
            );
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            assert!(
                decode::<CapRecord>(Part::Caps, &changed).is_err(),
                "byte {place}"
            );
        }
        assert!(
            decode::<CapRecord>(Part::Devices, &bytes).is_err(),
            "another part"
        );
    }
}
