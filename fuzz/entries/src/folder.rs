//! Folders for what parsers read from files, and damage to the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of its own, in memory where the machine has a folder for that; gone when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("mast-fuzz-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files of an extension in a folder, by name.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}"));
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Per four bytes: which file, where in it, what is done there.
pub(crate) fn damage(folder: &Path, extension: &str, script: &[u8]) {
    for step in script.chunks_exact(4).take(8) {
        let files = files(folder, extension);
        let Some(file) = files.get(usize::from(step[0]) % files.len().max(1)) else {
            return;
        };
        let mut bytes = fs::read(file).unwrap_or_default();
        let place = (usize::from(step[1]) * 4) % (bytes.len() + 1);
        match step[2] % 5 {
            0 => bytes.truncate(place),
            1 => bytes.extend_from_slice(&script[..script.len().min(200)]),
            2 => bytes.extend(std::iter::repeat_n(0, usize::from(step[3]) + 1)),
            3 => {
                let copied = bytes[place..].to_vec();
                bytes.extend_from_slice(&copied);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= step[3];
                }
            }
        }
        fs::write(file, &bytes).unwrap_or_else(|error| panic!("{error}"));
    }
}
