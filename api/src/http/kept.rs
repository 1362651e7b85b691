//! Answers that are kept for a moment: what many ask for at once is read once, and who has it already costs no query.
//!
//! An answer is never older than the set time, and none outlives a write by this process. The trap: a list that was read
//! before a write and is kept after it. So who reads takes the count of writes first, and what was counted on is kept only
//! if no write came in between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use mast_schemas::TenantId;

use super::access::App;
use crate::listing::ListQuery;

/// So many bytes of answers are kept.
const MOST: usize = 32 << 20;

/// What is asked: whose list, which, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    tenant: TenantId,
    path: &'static str,
    query: ListQuery,
}

/// A body with its tag. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) tag: String,
    pub(crate) body: Bytes,
}

/// Answers of lists, by what was asked.
pub(crate) struct Kept {
    time: Duration,
    writes: AtomicU64,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    known: HashMap<Question, (Instant, Answer)>,
    bytes: usize,
}

/// What is to be read: taken before it is, see [`Kept::keep`].
pub(crate) struct Reading {
    question: Question,
    writes: u64,
}

impl Kept {
    /// Keeps answers for so long; zero: none.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            time,
            writes: AtomicU64::new(0),
            answers: Mutex::default(),
        }
    }

    /// The answer, or what it takes to keep one.
    pub(crate) fn find(
        &self,
        tenant: TenantId,
        path: &'static str,
        query: &ListQuery,
        now: Instant,
    ) -> Result<Answer, Reading> {
        let query = query.clone();
        let question = Question {
            tenant,
            path,
            query,
        };
        let writes = self.writes.load(Ordering::Acquire);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.known.get(&question) {
            Some((until, answer)) if *until > now => Ok(answer.clone()),
            _ => Err(Reading { question, writes }),
        }
    }

    /// Keeps what was read since `reading` was taken, at `began`, unless something was written meanwhile.
    pub(crate) fn keep(&self, reading: Reading, answer: &Answer, began: Instant) {
        let until = began + self.time;
        if self.time.is_zero() {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.writes != self.writes.load(Ordering::Acquire) {
            return;
        }
        if answers.bytes + answer.body.len() > MOST {
            answers.known.retain(|_, (until, _)| *until > began);
            answers.bytes = answers.known.values().map(|(_, a)| a.body.len()).sum();
            if answers.bytes + answer.body.len() > MOST {
                return;
            }
        }
        answers.bytes += answer.body.len();
        let before = answers
            .known
            .insert(reading.question, (until, answer.clone()));
        answers.bytes -= before.map_or(0, |(_, before)| before.body.len());
    }

    /// Forgets all: something was written.
    fn written(&self) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.writes.fetch_add(1, Ordering::AcqRel);
        *answers = Answers::default();
    }
}

/// Lets no answer outlive a write: neither one that succeeded nor one of which nobody knows.
pub(crate) async fn forget_by_writes(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    let writes = !request.method().is_safe();
    // Also when the request is given up and this is dropped: its transaction may be committed by then.
    let forgetting = writes.then(|| Forgetting(app));
    let response = next.run(request).await;
    drop(forgetting);
    response
}

struct Forgetting(App);

impl Drop for Forgetting {
    fn drop(&mut self) {
        self.0.kept().written();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NORTH: TenantId = TenantId(Uuid::from_u128(1));
    const SOUTH: TenantId = TenantId(Uuid::from_u128(2));

    fn answer(bytes: usize) -> Answer {
        Answer {
            tag: "W/\"a\"".to_owned(),
            body: vec![b' '; bytes].into(),
        }
    }

    fn ask(kept: &Kept, tenant: TenantId, path: &'static str, at: Instant) -> Result<(), Reading> {
        kept.find(tenant, path, &ListQuery::default(), at).map(drop)
    }

    #[test]
    fn an_answer_is_kept_for_its_question_and_time_alone() {
        let (kept, begin) = (Kept::new(Duration::from_millis(250)), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        let reading = ask(&kept, NORTH, "/a", begin).unwrap_err();
        kept.keep(reading, &answer(1), begin);
        assert!(ask(&kept, NORTH, "/a", at(249)).is_ok());
        assert!(ask(&kept, NORTH, "/a", at(250)).is_err(), "too old");
        assert!(ask(&kept, SOUTH, "/a", begin).is_err(), "another's");
        assert!(ask(&kept, NORTH, "/b", begin).is_err(), "another list");
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let (kept, begin) = (Kept::new(Duration::from_secs(9)), Instant::now());
        let (one, two) = (
            ask(&kept, NORTH, "/a", begin).unwrap_err(),
            ask(&kept, NORTH, "/b", begin).unwrap_err(),
        );
        kept.keep(one, &answer(1), begin);
        kept.written();
        kept.keep(two, &answer(1), begin);
        assert!(ask(&kept, NORTH, "/a", begin).is_err());
        assert!(ask(&kept, NORTH, "/b", begin).is_err());
    }

    #[test]
    fn so_many_bytes_are_kept_and_no_more() {
        let (kept, begin) = (Kept::new(Duration::from_secs(1)), Instant::now());
        let size = MOST / 2 + 1;
        let first = ask(&kept, NORTH, "/a", begin).unwrap_err();
        kept.keep(first, &answer(size), begin);
        let second = ask(&kept, NORTH, "/b", begin).unwrap_err();
        kept.keep(second, &answer(size), begin);
        assert!(ask(&kept, NORTH, "/a", begin).is_ok());
        assert!(ask(&kept, NORTH, "/b", begin).is_err(), "there is no room");
        let later = begin + Duration::from_secs(2);
        let second = ask(&kept, NORTH, "/b", later).unwrap_err();
        kept.keep(second, &answer(size), later);
        assert!(ask(&kept, NORTH, "/b", later).is_ok(), "the old one went");
        assert_eq!(kept.answers.lock().unwrap().bytes, size);
    }
}
