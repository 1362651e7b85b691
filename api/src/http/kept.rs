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

/// So many bytes of answers are kept, with what was asked,
const MOST: usize = 32 << 20;
/// none of which is longer than this.
const QUESTION_MOST: usize = 4 << 10;
/// What an entry takes besides its texts, about.
const ENTRY: usize = 256;

/// A POST that writes nothing.
const QUERIES: &str = "/api/v1/sql";

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

struct Answers {
    known: HashMap<Question, (Instant, Answer)>,
    bytes: usize,
    tidy_at: Instant,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            bytes: 0,
            tidy_at: Instant::now(),
        }
    }
}

/// What is to be read: taken before it is, see [`Kept::keep`].
pub(crate) struct Reading {
    question: Question,
    writes: u64,
}

impl Question {
    /// Bytes that it takes to keep an answer to this.
    fn weight(&self, answer: &Answer) -> usize {
        ENTRY + self.query.bytes() + answer.tag.len() + answer.body.len()
    }
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
        if self.time.is_zero() || reading.question.query.bytes() > QUESTION_MOST {
            return;
        }
        let weight = reading.question.weight(answer);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.writes != self.writes.load(Ordering::Acquire) {
            return;
        }
        // Twice in the time that an answer is kept: so old ones take no more room than new ones.
        if began >= answers.tidy_at || answers.bytes + weight > MOST {
            answers.known.retain(|_, (until, _)| *until > began);
            let known = answers.known.iter();
            answers.bytes = known.map(|(asked, (_, a))| asked.weight(a)).sum();
            answers.tidy_at = began + self.time / 2;
        }
        if answers.bytes + weight > MOST {
            return;
        }
        answers.bytes += weight;
        if let Some((_, before)) = answers.known.remove(&reading.question) {
            answers.bytes -= reading.question.weight(&before);
        }
        let kept = (until, answer.clone());
        answers.known.insert(reading.question, kept);
    }

    /// Forgets all: something was written.
    pub(crate) fn written(&self) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.writes.fetch_add(1, Ordering::AcqRel);
        *answers = Answers::default();
    }
}

/// Lets no answer outlive a write: neither one that succeeded nor one of which nobody knows. What was refused wrote nothing, nor
/// do queries.
pub(crate) async fn forget_by_writes(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    let writes = !request.method().is_safe() && request.uri().path() != QUERIES;
    // Also when the request is given up and this is dropped: its transaction may be committed by then.
    let mut forgetting = Forgetting(writes.then_some(app));
    let response = next.run(request).await;
    if response.status().is_client_error() {
        forgetting.0 = None;
    }
    response
}

struct Forgetting(Option<App>);

impl Drop for Forgetting {
    fn drop(&mut self) {
        if let Some(app) = &self.0 {
            app.kept().written();
        }
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

    /// What is asked takes room too: an empty answer to a question that nobody asked before is not kept for nothing.
    #[test]
    fn questions_count_and_old_ones_go() {
        let (kept, begin) = (Kept::new(Duration::from_millis(100)), Instant::now());
        let ask = |n: usize, long: usize, at: Instant| {
            let query = format!("{n:0>long$}");
            let query = serde_json::json!({ "filter": query });
            let query: ListQuery = serde_json::from_value(query).unwrap();
            kept.find(NORTH, "/a", &query, at).map(drop)
        };
        let reading = ask(0, QUESTION_MOST + 1, begin).unwrap_err();
        kept.keep(reading, &answer(1), begin);
        assert!(ask(0, QUESTION_MOST + 1, begin).is_err(), "too long");
        for n in 0..1_000u32 {
            let at = begin + Duration::from_millis(1) * n;
            let reading = ask(n as usize, 1_000, at).unwrap_err();
            kept.keep(reading, &answer(1), at);
        }
        let answers = kept.answers.lock().unwrap();
        assert!(answers.known.len() <= 151, "{}", answers.known.len());
        assert!(answers.bytes >= 1_000 * answers.known.len());
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
        assert!((size..size + 1_000).contains(&kept.answers.lock().unwrap().bytes));
    }
}
