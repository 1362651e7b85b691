//! One writer per log: an advisory lock on the file `lock`, which the system gives back when the
//! process ends, however it ends. The process id inside is only for the error message: a stale one
//! never keeps anybody out, and one that was used anew by another process misleads nobody.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use crate::LogError;

pub(crate) struct OwnerLock {
    file: File,
}

impl OwnerLock {
    pub(crate) fn take(dir: &Path) -> Result<Self, LogError> {
        let path = dir.join("lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LogError::Owned {
                    dir: dir.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(LogError::io("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(LogError::io("write", &path))?;
        Ok(Self { file })
    }
}

impl Drop for OwnerLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is just being started has a copy of the
        // descriptor for a moment. If this fails, the end of the process does it.
        let _ = self.file.unlock();
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
