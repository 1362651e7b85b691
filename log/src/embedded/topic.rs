//! A topic on disk: `topics/<name>/topic` says how many partitions, `topics/<name>/<n>/` holds the
//! segments of each. A topic appears whole by rename, so nobody ever sees half of one.

use std::{fs, io, path::Path, sync::Arc};

use super::{fs::sync_dir, partition::Partition, segment::Segment};
use crate::topic::{MAX_PARTITIONS, check, name_is_good};
use crate::{LogError, TopicSpec};

const META: &str = "topic";

pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    pub(crate) fn count(&self) -> u32 {
        self.partitions.len() as u32
    }

    pub(crate) fn partition(&self, partition: u32) -> Result<&Arc<Partition>, LogError> {
        self.partitions
            .get(partition as usize)
            .ok_or_else(|| LogError::PartitionMismatch {
                topic: self.name.clone(),
                partitions: self.count(),
                asked: partition,
            })
    }

    /// `Ok(None)` if there is no such topic.
    pub(crate) fn open(
        topics: &Path,
        name: &str,
        writable: bool,
    ) -> Result<Option<Self>, LogError> {
        let dir = topics.join(name);
        let meta = dir.join(META);
        let text = match fs::read_to_string(&meta) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(LogError::io("read", &meta))?,
        };
        let count = parse_meta(&text).ok_or_else(|| {
            let source = io::Error::new(io::ErrorKind::InvalidData, "not a topic description");
            LogError::io("understand", &meta)(source)
        })?;
        let partitions = (0..count)
            .map(|id| Partition::open(name, id, &dir.join(id.to_string()), writable).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Some(Self {
            name: name.to_owned(),
            partitions,
        }))
    }

    pub(crate) fn create(topics: &Path, spec: &TopicSpec) -> Result<Self, LogError> {
        check(spec)?;
        // No name begins with a dot, so this can't be a topic's folder.
        let fresh = topics.join(format!(".new-{}", spec.name));
        let dir = topics.join(&spec.name);
        let result = build(&fresh, spec)
            .and_then(|()| fs::rename(&fresh, &dir))
            .and_then(|()| sync_dir(topics));
        result.map_err(LogError::io("create topic folder", &dir))?;
        Self::open(topics, &spec.name, true)?.ok_or_else(|| LogError::UnknownTopic {
            topic: spec.name.clone(),
        })
    }

    /// The topics there are; what a killed creation left is no topic.
    pub(crate) fn list(topics: &Path) -> Result<Vec<String>, LogError> {
        let failed = |error| LogError::io("list", topics)(error);
        let mut names = Vec::new();
        for entry in fs::read_dir(topics).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(
                name.to_str()
                    .filter(|name| name_is_good(name))
                    .map(str::to_owned),
            );
        }
        Ok(names)
    }
}

fn build(fresh: &Path, spec: &TopicSpec) -> io::Result<()> {
    if fresh.exists() {
        fs::remove_dir_all(fresh)?;
    }
    fs::create_dir_all(fresh)?;
    for id in 0..spec.partitions {
        let dir = fresh.join(id.to_string());
        fs::create_dir(&dir)?;
        Segment::create(&dir, id, 0, true)?;
    }
    let meta = fresh.join(META);
    fs::write(&meta, meta_text(spec.partitions))?;
    fs::File::open(&meta)?.sync_all()?;
    sync_dir(fresh)
}

fn meta_text(partitions: u32) -> String {
    format!("mast-log topic 1\npartitions {partitions}\n")
}

fn parse_meta(text: &str) -> Option<u32> {
    let mut lines = text.lines();
    if lines.next()? != "mast-log topic 1" {
        return None;
    }
    let count = lines.next()?.strip_prefix("partitions ")?.parse().ok()?;
    (lines.next().is_none() && (1..=MAX_PARTITIONS).contains(&count)).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_strictly() {
        assert_eq!(parse_meta(&meta_text(8)), Some(8));
        for bad in ["", "partitions 8", "mast-log topic 2\npartitions 8\n"] {
            assert_eq!(parse_meta(bad), None, "{bad:?}");
        }
        for count in ["0", "4097", "-1", "x", "8\nmore"] {
            assert_eq!(
                parse_meta(&format!("mast-log topic 1\npartitions {count}\n")),
                None
            );
        }
    }
}
