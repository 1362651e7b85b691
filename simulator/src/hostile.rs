//! Answers that no router would give, for those who must survive them.

use routeros_api::{Sentence, server::Connection};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{noise::hash, server::Stage, world::faults::Hostile};

/// Words of a sentence without end that are written at one go.
const WORDS: usize = 1_000;

/// Answers in place of the device where that is what is wrong with it; `true` = answered.
pub(crate) async fn instead<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    connection: &mut Connection<S>,
) -> bool {
    let how = stage.world().hostile(device);
    let replies = connection.replies();
    match how {
        None | Some(Hostile::Utf8) => return false,
        Some(Hostile::Strange) => {
            replies.raw(b"\0");
            replies.sentence(&Sentence::from_words(["!news", "=of=nothing"]));
            replies.raw(b"\0\0");
            return false;
        }
        Some(Hostile::Length) => replies.raw(b"\x03!re\xF0\xFF\xFF\xFF\xFF=name="),
        Some(Hostile::Garbage) => {
            // The first byte begins no length.
            let seed = stage.plan().seed;
            let noise = (0..64).flat_map(|n| hash(seed, device as u64, n).to_be_bytes());
            replies.raw(&[0xFF]);
            replies.raw(&noise.collect::<Vec<u8>>());
        }
        Some(Hostile::Endless) => {
            replies.raw(b"\x03!re");
            let words = b"\x0B=name=value".repeat(WORDS);
            loop {
                connection.replies().raw(&words);
                // It ends when the client has had enough.
                if connection.flush().await.is_err() {
                    return true;
                }
            }
        }
    }
    true
}
