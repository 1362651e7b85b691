//! What a topic may be called and how many partitions it may have, in every log.

use crate::{LogError, TopicSpec};

/// The most partitions that a topic may have.
pub const MAX_PARTITIONS: u32 = 4096;

const MAX_NAME_BYTES: usize = 200;

/// Refuses a topic that can't be made.
pub(crate) fn check(spec: &TopicSpec) -> Result<(), LogError> {
    let reason = if !name_is_good(&spec.name) {
        "a name is 1 to 200 of a-z A-Z 0-9 . _ - and doesn't begin with a dot"
    } else if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
        "it needs 1 to 4096 partitions"
    } else {
        return Ok(());
    };
    Err(LogError::InvalidTopic {
        topic: spec.name.clone(),
        reason,
    })
}

/// The embedded log names folders after topics: nothing that could lead out of its own.
pub(crate) fn name_is_good(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.starts_with('.')
        && name.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_folder() {
        for good in ["mast.telemetry.v1", "a", "A-b_c.9"] {
            assert!(name_is_good(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".new-a",
            "a/b",
            "a\\b",
            "a b",
            "ä",
            "a\0",
            &"a".repeat(201),
        ] {
            assert!(!name_is_good(bad), "{bad:?}");
        }
    }
}
