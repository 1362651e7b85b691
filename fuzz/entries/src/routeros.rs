//! The RouterOS protocol, from both sides.

use std::cell::RefCell;
use std::time::Duration;

use routeros_api::login::{Login, LoginStep, challenge_response, takes_password_form};
use routeros_api::query::{Filter, Proplist};
use routeros_api::server::{Connection, ServerError};
use routeros_api::{
    CallError, Client, Command, Credentials, Deadlines, DecodeError, Decoder, Error, Limits,
    LoginForm, LoginPolicy, Reply, Sentence, Session, Tag, Trap,
};

use crate::script::{Script, text_to_wire};
use crate::wire::Wire;

/// Caps small enough that an input reaches them.
const TIGHT: Limits = Limits {
    word_bytes: 24,
    sentence_bytes: 64,
    sentence_words: 5,
    held_bytes: 512,
    command_bytes: 400,
    command_rows: 8,
    strays: 20,
};

const NEVER: Duration = Duration::from_secs(3600);

fn limits(script: &Script<'_>) -> Limits {
    match script.choice % 4 {
        0 => TIGHT,
        1 => Limits::BEFORE_LOGIN,
        _ => Limits::SESSION,
    }
}

/// Bytes of a peer: as they are, or from readable text.
fn wire_of(script: &Script<'_>, payload: &[u8]) -> Vec<u8> {
    if script.chose(7) {
        text_to_wire(payload)
    } else {
        payload.to_vec()
    }
}

fn read(limits: Limits, pieces: &[&[u8]]) -> (Vec<Sentence>, Option<DecodeError>) {
    let mut decoder = Decoder::new(limits);
    let mut sentences = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next_sentence() {
                Ok(Some(sentence)) => sentences.push(sentence),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_sentence(), Err(error), "an error stays");
                    return (sentences, Some(error));
                }
            }
        }
        decoder.release();
    }
    (sentences, None)
}

/// The decoder: the same sentences and the same end however the bytes are cut, caps kept, and what was read is written
/// so that it is read again.
pub(crate) fn decoder(data: &[u8]) {
    let (script, payload) = Script::take(data);
    let limits = limits(&script);
    let wire = wire_of(&script, payload);
    let (sentences, error) = read(limits, &[&wire]);
    let cut = read(limits, &script.pieces(&wire));
    assert_eq!(cut, (sentences.clone(), error), "cutting matters");
    let mut again = Vec::new();
    for sentence in &sentences {
        assert!(sentence.wire_bytes() <= limits.sentence_bytes);
        assert!(sentence.words().count() <= limits.sentence_words);
        for word in sentence.words() {
            assert!(!word.is_empty() && word.len() <= limits.word_bytes);
        }
        let copy = Sentence::from_words(sentence.words());
        assert_eq!(&copy, sentence);
        for (name, _) in sentence.attributes() {
            assert!(sentence.get(name).is_some());
        }
        let _ = (
            sentence.tag(),
            sentence.text("message"),
            format!("{sentence:?}"),
        );
        copy.encode(&mut again);
    }
    assert_eq!(read(Limits::SESSION, &[&again]), (sentences, None));
}

/// Queries and property lists over an item.
pub(crate) fn query(data: &[u8]) {
    let words: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    let filter = Filter::new(words.iter().copied());
    let item = |name: &[u8]| words.iter().copied().find(|word| word.len() == name.len());
    let first = filter.matches(item);
    assert_eq!(filter.matches(item), first, "matching is a function");
    let list = Proplist::new(data);
    for word in words {
        let _ = list.allows(word);
    }
}

/// The client's state machine under calls and bytes in any order.
pub(crate) fn session(data: &[u8]) {
    let (script, mut rest) = Script::take(data);
    let cap = limits(&script);
    let mut session = Session::new(cap);
    let mut tags: Vec<Tag> = Vec::new();
    let mut over = false;
    while let [operation, argument, after @ ..] = rest {
        rest = after;
        let chosen = tags
            .get(usize::from(*argument) % tags.len().max(1))
            .copied();
        match (operation % 11, chosen) {
            (0, _) if tags.len() < 64 => tags.push(session.submit(&Command::new("/x"))),
            (1, Some(tag)) if tags.len() < 64 => tags.push(session.cancel(tag)),
            (2, Some(tag)) => {
                let done = session.is_done(tag);
                assert_eq!(session.take(tag).is_some(), done);
                assert!(session.take(tag).is_none(), "an answer is given once");
                assert!(!done || session.rows(tag) == 0);
            }
            (3, Some(tag)) => {
                let rows = session.rows(tag);
                assert_eq!(session.take_rows(tag).len(), rows);
                assert_eq!(session.rows(tag), 0);
            }
            (4, Some(tag)) => {
                let rows = session.abandon(tag);
                assert!(held(&rows) <= cap.held_bytes + cap.sentence_bytes);
                assert!(!session.is_known(tag));
            }
            (5, _) => session.submit_untagged(&Command::new("/login")),
            (6, _) => {
                let done = session.untagged_is_done();
                assert_eq!(session.take_untagged().is_some(), done);
            }
            (7, _) => session.sent(),
            (8, _) => session.release(),
            _ => {
                let (bytes, after) = rest.split_at(usize::from(*argument).min(rest.len()));
                rest = after;
                let wire = wire_of(&script, bytes);
                over |= session.receive(&wire).is_err();
            }
        }
        assert!(session.held_bytes() <= cap.held_bytes + cap.sentence_bytes + 64);
        if over {
            break;
        }
    }
    for tag in tags {
        session.abandon(tag);
    }
    session.submit_untagged(&Command::new("/login"));
    assert_eq!(session.held_bytes(), 0, "all was given up");
}

fn held(rows: &[Sentence]) -> usize {
    rows.iter().map(Sentence::wire_bytes).sum()
}

/// A login without a channel: versions, challenges and answers of any bytes.
pub(crate) fn login(data: &[u8]) {
    let (script, payload) = Script::take(data);
    let mut parts = payload.split(|&byte| byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let _ = takes_password_form(&String::from_utf8_lossy(part()));
    let (password, challenge) = (part(), part());
    let answer = challenge_response(password, challenge);
    let is_hex = challenge.len().is_multiple_of(2) && challenge.iter().all(u8::is_ascii_hexdigit);
    assert_eq!(answer.is_ok(), is_hex);
    assert!(answer.is_err() || answer.is_ok_and(|hex| hex.len() == 34));

    let credentials = Credentials::new(payload, password);
    let policy = LoginPolicy::for_channel(script.chose(0), script.chose(1));
    let (mut login, mut command) = Login::begin(policy, &credentials);
    for round in 0..4 {
        assert_eq!(command.path(), "/login");
        assert!(round < 3, "a login ends after three answers");
        let words = part();
        let outcome = if words.first() == Some(&b'!') {
            let message = String::from_utf8_lossy(words).into_owned();
            let category = words.last().copied();
            Err((vec![Trap { category, message }], Vec::new()))
        } else {
            let done = Sentence::from_words([b"!done".as_slice(), words]);
            Ok(Reply {
                rows: Vec::new(),
                done,
            })
        };
        match login.step(outcome) {
            Ok(LoginStep::Send(next)) => command = next,
            Ok(LoginStep::Done(_)) | Err(_) => return,
        }
    }
}

thread_local! {
    static RUNTIME: RefCell<Option<tokio::runtime::Runtime>> = const { RefCell::new(None) };
}

/// Runs on a runtime of this thread; there is one, as making one costs more than most inputs.
fn run<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.get_or_insert_with(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_time();
            builder
                .build()
                .unwrap_or_else(|error| panic!("no runtime: {error}"))
        });
        runtime.block_on(work)
    })
}

/// The whole client over a channel: login, calls at once, one that goes on, a cancelled one.
pub(crate) fn client(data: &[u8]) {
    let (script, payload) = Script::take(data);
    let wire = wire_of(&script, payload);
    let io = Wire::new(&script.pieces(&wire), usize::from(script.choice) + 1);
    let credentials = Credentials::new("user", "password");
    let policy = LoginPolicy::for_channel(script.chose(5), script.chose(6));
    let deadlines = Deadlines::all(NEVER);
    run(async {
        let opened = Client::login_over(Box::new(io), policy, &credentials, &deadlines).await;
        let Ok(mut client) = opened else {
            return;
        };
        client.set_limits(limits(&script));
        let listened = client.start(&Command::new("/log/listen"));
        let plan = ["/system/identity/print", "/interface/print"].map(Command::new);
        let answers = client.call_many(&plan, NEVER).await;
        assert_eq!(answers.len(), plan.len());
        let heard = client.hear(listened, NEVER).await;
        let monitored = client
            .call_some(&Command::new("/interface/monitor-traffic"), 2, NEVER, NEVER)
            .await;
        let stopped = client.stop(listened, NEVER).await;
        let ended = [
            answers.into_iter().any(|answer| is_over(&answer)),
            heard.as_ref().is_err_and(is_end),
            is_over(&monitored),
            is_over(&stopped),
        ];
        // Nothing is left to be said once the far end has left: a client that says that it is open missed the end.
        assert!(!client.is_open() || !ended.contains(&true) || taken_twice(&heard));
        client.close(NEVER).await;
    });
}

fn is_over(answer: &Result<Reply, CallError>) -> bool {
    answer.as_ref().is_err_and(is_end)
}

const fn is_end(error: &CallError) -> bool {
    matches!(error, CallError::Connection { error, .. } if !matches!(error, Error::Setting(_)))
}

/// Whether a command's end was taken already, so that asking again is our mistake and no end of the connection.
fn taken_twice(heard: &Result<routeros_api::Heard, CallError>) -> bool {
    heard.as_ref().is_ok_and(|heard| heard.ended)
}

/// The router's side over a channel: login, then requests with everything that can be asked of one.
pub(crate) fn server(data: &[u8]) {
    let (script, payload) = Script::take(data);
    let wire = wire_of(&script, payload);
    let io = Wire::new(&script.pieces(&wire), usize::from(script.choice) + 1);
    let form = if script.chose(6) {
        LoginForm::Challenge
    } else {
        LoginForm::Password
    };
    let served: Result<(), ServerError> = run(async {
        let mut connection = Connection::new(io);
        let known = |attempt: &routeros_api::server::LoginAttempt<'_>| {
            attempt.accepts(b"secret") || attempt.name() == b"user"
        };
        if !connection.login(form, known).await? {
            return Ok(());
        }
        connection.set_limits(limits(&script));
        while let Some(request) = connection.next().await? {
            let (filter, list) = (request.filter(), request.proplist());
            let tag = request.tag();
            if filter.matches(|name| request.get(name)) {
                let shown = request.attributes().filter(|(name, _)| list.allows(name));
                connection.replies().re(tag, shown);
            } else {
                connection
                    .replies()
                    .trap(tag, request.path().as_ref(), None);
            }
            connection.replies().done(tag);
        }
        connection.shutdown().await
    });
    match served {
        Ok(()) | Err(ServerError::Decode(_)) => {}
        Err(ServerError::Io(error)) => panic!("the channel never fails: {error}"),
    }
}
