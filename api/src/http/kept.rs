//! Answers that are kept for a moment: what many ask for at once is read once, and who has it already costs no query.
//!
//! Nobody gets an answer that was older than the set time when it was asked for, and none outlives a write by this process.
//! The trap: a list that was read before a write and is kept after it. So who reads takes the count of writes first, and what
//! was counted on is kept only if no write came in between; who asks after a write waits for no read from before it.
//!
//! Who asks while another reads the same waits for what comes of it, also if that is an error. A reader that gives up, as its
//! asker is gone or its time is over, leaves its turn to one of those who wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use mast_schemas::TenantId;
use tokio::sync::watch;

use super::access::App;
use super::problem::Problem;
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
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) tenant: TenantId,
    pub(crate) path: &'static str,
    pub(crate) query: ListQuery,
}

/// A body with its tag. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) tag: HeaderValue,
    pub(crate) body: Bytes,
}

/// What came of a read; null: nothing yet.
type Outcome = Option<Result<Answer, Problem>>;

/// Answers of lists, by what was asked.
pub(crate) struct Kept {
    time: Duration,
    writes: AtomicU64,
    answers: Mutex<Answers>,
}

struct Answers {
    known: HashMap<Arc<Question>, (Instant, Answer)>,
    bytes: usize,
    tidy_at: Instant,
    /// What is being read. As many as there are requests, at most.
    reads: HashMap<Arc<Question>, Read>,
}

/// A read that others may wait for.
struct Read {
    began: Instant,
    outcome: watch::Receiver<Outcome>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            bytes: 0,
            tidy_at: Instant::now(),
            reads: HashMap::new(),
        }
    }
}

impl Question {
    /// Bytes that it takes to keep an answer to this.
    fn weight(&self, answer: &Answer) -> usize {
        ENTRY + self.query.bytes() + answer.tag.len() + answer.body.len()
    }
}

/// What somebody who asks finds.
enum Found<'a> {
    Answer(Answer),
    Read(watch::Receiver<Outcome>),
    Nothing(Turn<'a>),
}

/// What becomes of somebody who asks.
pub(crate) enum Asked<'a> {
    /// It was read before, or by another.
    Answered(Result<Answer, Problem>),
    /// It is to be read.
    Turn(Turn<'a>),
}

impl Kept {
    /// Keeps answers for so long; zero: none, and each is read for who asks.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            time,
            writes: AtomicU64::new(0),
            answers: Mutex::default(),
        }
    }

    /// The answer, or the turn to read it. Waits while another reads it.
    pub(crate) async fn ask(&self, question: Question) -> Asked<'_> {
        let question = Arc::new(question);
        loop {
            let mut read = match self.find(&question, Instant::now()) {
                Found::Answer(answer) => return Asked::Answered(Ok(answer)),
                Found::Nothing(turn) => return Asked::Turn(turn),
                Found::Read(read) => read,
            };
            // Closed without an outcome: who read it gave up.
            if let Ok(outcome) = read.wait_for(Option::is_some).await
                && let Some(outcome) = outcome.clone()
            {
                if outcome.as_ref().is_err_and(Problem::is_ours) {
                    // Its reason is in the log once, under the id of the request that read.
                    tracing::warn!(
                        list = question.path,
                        "the read that this request waited for failed"
                    );
                }
                return Asked::Answered(outcome);
            }
        }
    }

    fn find(&self, question: &Arc<Question>, now: Instant) -> Found<'_> {
        let mut answers = self.lock();
        if let Some((until, answer)) = answers.known.get(question)
            && *until > now
        {
            return Found::Answer(answer.clone());
        }
        if let Some(read) = answers.reads.get(question)
            && read.began + self.time > now
        {
            return Found::Read(read.outcome.clone());
        }
        let (tell, outcome) = watch::channel(None);
        let began = now;
        if !self.time.is_zero() {
            let read = Read { began, outcome };
            answers.reads.insert(Arc::clone(question), read);
        }
        Found::Nothing(Turn {
            kept: self,
            question: Arc::clone(question),
            writes: self.writes.load(Ordering::Acquire),
            began,
            tell,
        })
    }

    /// Forgets all: something was written.
    pub(crate) fn written(&self) {
        let mut answers = self.lock();
        self.writes.fetch_add(1, Ordering::AcqRel);
        let before = std::mem::take(&mut *answers);
        drop(answers);
        drop(before);
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn to read an answer. Dropped, it goes to another.
pub(crate) struct Turn<'a> {
    kept: &'a Kept,
    question: Arc<Question>,
    writes: u64,
    began: Instant,
    tell: watch::Sender<Outcome>,
}

impl Turn<'_> {
    /// Which part of the list.
    pub(crate) fn query(&self) -> &ListQuery {
        &self.question.query
    }

    /// Tells those who wait what was read since the turn was taken, and keeps it, unless something was written meanwhile.
    pub(crate) fn done(self, outcome: &Result<Answer, Problem>) {
        if let Ok(answer) = outcome {
            self.keep(answer);
        }
        self.tell.send_replace(Some(outcome.clone()));
    }

    fn keep(&self, answer: &Answer) {
        let (began, time) = (self.began, self.kept.time);
        if time.is_zero() || self.question.query.bytes() > QUESTION_MOST {
            return;
        }
        let weight = self.question.weight(answer);
        let mut answers = self.kept.lock();
        if self.writes != self.kept.writes.load(Ordering::Acquire) {
            return;
        }
        // Twice in the time that an answer is kept: so old ones take no more room than new ones.
        if began >= answers.tidy_at || answers.bytes + weight > MOST {
            answers.known.retain(|_, (until, _)| *until > began);
            let known = answers.known.iter();
            answers.bytes = known.map(|(asked, (_, a))| asked.weight(a)).sum();
            answers.tidy_at = began + time / 2;
        }
        if answers.bytes + weight > MOST {
            return;
        }
        answers.bytes += weight;
        if let Some((_, before)) = answers.known.remove(&self.question) {
            answers.bytes -= self.question.weight(&before);
        }
        let kept = (began + time, answer.clone());
        answers.known.insert(Arc::clone(&self.question), kept);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut answers = self.kept.lock();
        let ours = |read: &Read| read.outcome.same_channel(&self.tell.subscribe());
        if answers.reads.get(&self.question).is_some_and(ours) {
            answers.reads.remove(&self.question);
        }
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
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use uuid::Uuid;

    use super::super::problem::Kind;
    use super::*;

    const NORTH: TenantId = TenantId(Uuid::from_u128(1));
    const SOUTH: TenantId = TenantId(Uuid::from_u128(2));
    const LONG: Duration = Duration::from_secs(3_600);

    fn answer(bytes: usize) -> Answer {
        Answer {
            tag: HeaderValue::from_static("W/\"a\""),
            body: vec![b' '; bytes].into(),
        }
    }

    fn question(tenant: TenantId, path: &'static str) -> Question {
        Question {
            tenant,
            path,
            query: ListQuery::default(),
        }
    }

    /// The turn to read it, where nobody has it.
    fn ask<'a>(
        kept: &'a Kept,
        tenant: TenantId,
        path: &'static str,
        at: Instant,
    ) -> Option<Turn<'a>> {
        turn(kept.find(&Arc::new(question(tenant, path)), at))
    }

    fn turn(found: Found<'_>) -> Option<Turn<'_>> {
        match found {
            Found::Answer(_) => None,
            Found::Nothing(turn) => Some(turn),
            Found::Read(_) => panic!("nobody else reads"),
        }
    }

    /// Whether a future is done by now.
    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn turn_of(asked: Poll<Asked<'_>>) -> Turn<'_> {
        match asked {
            Poll::Ready(Asked::Turn(turn)) => turn,
            _ => panic!("it is this one's turn"),
        }
    }

    fn told(asked: Poll<Asked<'_>>) -> Result<Answer, Problem> {
        match asked {
            Poll::Ready(Asked::Answered(outcome)) => outcome,
            _ => panic!("another has read it"),
        }
    }

    #[test]
    fn an_answer_is_kept_for_its_question_and_time_alone() {
        let (kept, begin) = (Kept::new(Duration::from_millis(250)), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        let turn = ask(&kept, NORTH, "/a", begin).unwrap();
        turn.done(&Ok(answer(1)));
        assert!(ask(&kept, NORTH, "/a", at(249)).is_none());
        assert!(ask(&kept, NORTH, "/a", at(250)).is_some(), "too old");
        assert!(ask(&kept, SOUTH, "/a", begin).is_some(), "another's");
        assert!(ask(&kept, NORTH, "/b", begin).is_some(), "another list");
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let (kept, begin) = (Kept::new(Duration::from_secs(9)), Instant::now());
        let (one, two) = (
            ask(&kept, NORTH, "/a", begin).unwrap(),
            ask(&kept, NORTH, "/b", begin).unwrap(),
        );
        one.done(&Ok(answer(1)));
        kept.written();
        two.done(&Ok(answer(1)));
        assert!(ask(&kept, NORTH, "/a", begin).is_some());
        assert!(ask(&kept, NORTH, "/b", begin).is_some());
    }

    #[test]
    fn what_is_being_read_is_read_once_for_all_who_ask() {
        let kept = Kept::new(LONG);
        let turn = turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
        let mut waits = pin!(kept.ask(question(NORTH, "/a")));
        assert!(poll(waits.as_mut()).is_pending());
        let other = poll(pin!(kept.ask(question(SOUTH, "/a"))));
        assert!(matches!(other, Poll::Ready(Asked::Turn(_))), "another's");
        turn.done(&Ok(answer(7)));
        assert_eq!(told(poll(waits)).unwrap().body.len(), 7);
    }

    #[test]
    fn an_error_goes_to_all_who_wait_and_is_not_kept() {
        let kept = Kept::new(LONG);
        let turn = turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
        let mut waits = pin!(kept.ask(question(NORTH, "/a")));
        assert!(poll(waits.as_mut()).is_pending());
        turn.done(&Err(Problem::new(Kind::InvalidParameter, "no")));
        assert!(told(poll(waits)).is_err());
        turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
    }

    #[test]
    fn a_reader_that_gives_up_leaves_its_turn_to_one_who_waits() {
        let kept = Kept::new(LONG);
        let gives_up = turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
        let mut second = pin!(kept.ask(question(NORTH, "/a")));
        let mut third = pin!(kept.ask(question(NORTH, "/a")));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());
        drop(gives_up);
        let turn = turn_of(poll(second));
        assert!(poll(third.as_mut()).is_pending(), "one reads");
        turn.done(&Ok(answer(7)));
        assert_eq!(told(poll(third)).unwrap().body.len(), 7);
    }

    #[test]
    fn who_asks_after_a_write_waits_for_no_read_from_before_it() {
        let kept = Kept::new(LONG);
        let old = turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
        kept.written();
        let new = turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
        drop(old);
        let mut waits = pin!(kept.ask(question(NORTH, "/a")));
        assert!(poll(waits.as_mut()).is_pending(), "for the new one");
        new.done(&Ok(answer(7)));
        assert_eq!(told(poll(waits)).unwrap().body.len(), 7);
    }

    #[test]
    fn a_read_that_takes_too_long_is_waited_for_by_no_newcomer() {
        let (kept, begin) = (Kept::new(Duration::from_millis(250)), Instant::now());
        let asked = Arc::new(question(NORTH, "/a"));
        let _slow = turn(kept.find(&asked, begin)).unwrap();
        let at = |ms| kept.find(&asked, begin + Duration::from_millis(ms));
        assert!(matches!(at(249), Found::Read(_)));
        assert!(matches!(at(250), Found::Nothing(_)));
    }

    #[test]
    fn where_nothing_is_kept_each_reads_for_itself() {
        let kept = Kept::new(Duration::ZERO);
        let first = turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
        turn_of(poll(pin!(kept.ask(question(NORTH, "/a"))))).done(&Ok(answer(1)));
        first.done(&Ok(answer(1)));
        turn_of(poll(pin!(kept.ask(question(NORTH, "/a")))));
    }

    /// What is asked takes room too: an empty answer to a question that nobody asked before is not kept for nothing.
    #[test]
    fn questions_count_and_old_ones_go() {
        let (kept, begin) = (Kept::new(Duration::from_millis(100)), Instant::now());
        let ask = |n: usize, long: usize, at: Instant| {
            let query = format!("{n:0>long$}");
            let query = serde_json::json!({ "filter": query });
            let mut asked = question(NORTH, "/a");
            asked.query = serde_json::from_value(query).unwrap();
            turn(kept.find(&Arc::new(asked), at))
        };
        ask(0, QUESTION_MOST + 1, begin)
            .unwrap()
            .done(&Ok(answer(1)));
        assert!(ask(0, QUESTION_MOST + 1, begin).is_some(), "too long");
        for n in 0..1_000u32 {
            let at = begin + Duration::from_millis(1) * n;
            ask(n as usize, 1_000, at).unwrap().done(&Ok(answer(1)));
        }
        let answers = kept.lock();
        assert!(answers.known.len() <= 151, "{}", answers.known.len());
        assert!(answers.bytes >= 1_000 * answers.known.len());
        assert!(answers.reads.is_empty());
    }

    #[test]
    fn so_many_bytes_are_kept_and_no_more() {
        let (kept, begin) = (Kept::new(Duration::from_secs(1)), Instant::now());
        let size = MOST / 2 + 1;
        ask(&kept, NORTH, "/a", begin)
            .unwrap()
            .done(&Ok(answer(size)));
        ask(&kept, NORTH, "/b", begin)
            .unwrap()
            .done(&Ok(answer(size)));
        assert!(ask(&kept, NORTH, "/a", begin).is_none());
        assert!(ask(&kept, NORTH, "/b", begin).is_some(), "there is no room");
        let later = begin + Duration::from_secs(2);
        ask(&kept, NORTH, "/b", later)
            .unwrap()
            .done(&Ok(answer(size)));
        assert!(ask(&kept, NORTH, "/b", later).is_none(), "the old one went");
        assert!((size..size + 1_000).contains(&kept.lock().bytes));
    }
}
