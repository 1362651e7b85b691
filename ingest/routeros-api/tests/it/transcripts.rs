//! What routers have been seen to send, fed to the client's state without I/O.

use crate::support::wire;
use proptest::prelude::*;
use routeros_api::{
    Command, DecodeError, Error, ErrorClass, Limits, Reply, Sentence, Session, Tag,
};

fn started(commands: usize) -> (Session, Vec<Tag>) {
    let mut session = Session::new(Limits::SESSION);
    let tags = (0..commands)
        .map(|_| session.submit(&Command::new("/x/print")))
        .collect();
    (session, tags)
}

fn reply(session: &mut Session, tag: Tag) -> Reply {
    session.take(tag).expect("done").expect("no trap")
}

#[test]
fn an_empty_sentence_before_a_row_is_ignored() {
    let (mut session, tags) = started(1);
    let mut bytes = vec![0, 0];
    bytes.extend(wire(&["!re =b=c .tag=1"]));
    bytes.push(0);
    bytes.extend(wire(&["!done .tag=1"]));
    session.receive(&bytes).unwrap();
    let reply = reply(&mut session, tags[0]);
    assert_eq!(
        reply.rows,
        [Sentence::from_words(["!re", "=b=c", ".tag=1"])]
    );
}

#[test]
fn an_unknown_reply_word_is_counted_and_skipped() {
    let (mut session, tags) = started(1);
    session
        .receive(&wire(&[
            "!xxx =b=c .tag=1",
            "!re =a=1 .tag=1",
            "!done .tag=1",
        ]))
        .unwrap();
    assert_eq!(reply(&mut session, tags[0]).rows.len(), 1);
    assert_eq!(session.strays().unknown_word, 1);
}

#[test]
fn a_trap_without_message_or_category_still_fails_the_command() {
    let (mut session, tags) = started(1);
    session.receive(&wire(&["!trap .tag=1"])).unwrap();
    assert!(session.take(tags[0]).is_none(), "a trap alone ends nothing");
    session.receive(&wire(&["!done .tag=1"])).unwrap();
    let (traps, rows) = session.take(tags[0]).unwrap().unwrap_err();
    assert_eq!((traps.len(), rows.len()), (1, 0));
    assert_eq!((traps[0].category, traps[0].message.as_str()), (None, ""));
}

#[test]
fn two_traps_of_one_command_are_both_kept() {
    let (mut session, tags) = started(1);
    let mut bytes = Vec::new();
    let first = "=message=no such command or directory (adress)";
    Sentence::from_words(["!trap", "=category=0", first, ".tag=1"]).encode(&mut bytes);
    Sentence::from_words(["!trap", "=message=no such command prefix", ".tag=1"]).encode(&mut bytes);
    bytes.extend(wire(&["!done .tag=1"]));
    session.receive(&bytes).unwrap();
    let (traps, _) = session.take(tags[0]).unwrap().unwrap_err();
    assert_eq!(traps[0].category, Some(0));
    assert_eq!(traps[0].message, "no such command or directory (adress)");
    assert_eq!(traps[1].category, None);
    assert_eq!(traps[1].message, "no such command prefix");
}

#[test]
fn rows_before_a_trap_are_kept() {
    let (mut session, tags) = started(1);
    let bytes = wire(&[
        "!re =a=1 .tag=1",
        "!trap =message=gone .tag=1",
        "!done .tag=1",
    ]);
    session.receive(&bytes).unwrap();
    let (_, rows) = session.take(tags[0]).unwrap().unwrap_err();
    assert_eq!(rows[0].get("a"), Some(&b"1"[..]));
}

#[test]
fn fatal_bare_word_ends_the_session_and_whole_answers_stay() {
    let (mut session, tags) = started(2);
    let mut bytes = wire(&["!re =a=1 .tag=1", "!done .tag=1", "!re =a=2 .tag=2"]);
    Sentence::from_words(["!fatal", "session terminated on request"]).encode(&mut bytes);
    let error = session.receive(&bytes).unwrap_err();
    assert!(
        matches!(&error, Error::Fatal { message } if message == "session terminated on request")
    );
    assert_eq!(error.class(), ErrorClass::ProtocolError);
    assert_eq!(reply(&mut session, tags[0]).rows.len(), 1);
    assert!(session.take(tags[1]).is_none());
    assert_eq!(session.abandon(tags[1]).len(), 1);
}

#[test]
fn fatal_with_message_or_without_text() {
    for (sentence, expected) in [("!fatal =message=bye", "bye"), ("!fatal", "")] {
        let error = started(1).0.receive(&wire(&[sentence])).unwrap_err();
        assert!(matches!(error, Error::Fatal { message } if message == expected));
    }
}

#[test]
fn empty_then_done_ends_its_own_command_and_shifts_no_other() {
    let (mut session, tags) = started(3);
    let bytes = wire(&[
        "!re =n=a .tag=1",
        "!done .tag=1",
        "!empty .tag=2",
        "!done .tag=2",
        "!re =n=c .tag=3",
        "!done .tag=3",
    ]);
    session.receive(&bytes).unwrap();
    let rows = tags.iter().map(|&tag| reply(&mut session, tag).rows);
    let names: Vec<_> = rows
        .map(|rows| rows.first().and_then(|r| r.get("n").map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(names, [Some(b"a".to_vec()), None, Some(b"c".to_vec())]);
}

#[test]
fn empty_alone_ends_nothing_and_twice_does_no_harm() {
    let (mut session, tags) = started(1);
    session
        .receive(&wire(&["!empty .tag=1", "!empty .tag=1"]))
        .unwrap();
    assert!(!session.is_done(tags[0]));
    session.receive(&wire(&["!done .tag=1"])).unwrap();
    assert_eq!(reply(&mut session, tags[0]).rows.len(), 0);
}

#[test]
fn tagged_replies_interleave() {
    let (mut session, tags) = started(2);
    let bytes = wire(&[
        "!re =i=1 .tag=2",
        "!re =i=2 .tag=1",
        "!re =i=3 .tag=2",
        "!done .tag=2",
        "!re =i=4 .tag=1",
        "!done =ret=*3 .tag=1",
    ]);
    session.receive(&bytes).unwrap();
    let second = reply(&mut session, tags[1]);
    let first = reply(&mut session, tags[0]);
    let column = |reply: &Reply| -> Vec<_> {
        reply
            .rows
            .iter()
            .map(|row| row.text("i").unwrap().into_owned())
            .collect()
    };
    assert_eq!(column(&second), ["1", "3"]);
    assert_eq!(column(&first), ["2", "4"]);
    assert_eq!(first.ret(), Some(&b"*3"[..]));
    assert_eq!(second.ret(), None);
}

#[test]
fn cancel_interrupts_with_category_2_and_both_end() {
    let (mut session, tags) = started(1);
    session.sent();
    let cancel = session.cancel(tags[0]);
    assert_eq!(session.outgoing(), wire(&["/cancel =tag=1 .tag=2"]));
    session
        .receive(&wire(&[
            "!re =address=192.0.2.1 .tag=1",
            "!trap =category=2 =message=interrupted .tag=1",
            "!done .tag=2",
            "!done .tag=1",
        ]))
        .unwrap();
    assert_eq!(reply(&mut session, cancel).rows.len(), 0);
    let (traps, rows) = session.take(tags[0]).unwrap().unwrap_err();
    assert!(traps[0].is_interrupted());
    assert_eq!(rows.len(), 1);
}

#[test]
fn replies_nobody_asked_for_are_counted_and_dropped() {
    let (mut session, tags) = started(1);
    let bytes = wire(&[
        "!re =a=1",
        "!done",
        "!re =a=1 .tag=99",
        "!done .tag=0",
        "!done .tag=",
        "!done .tag=-1",
        "!done .tag=99999999999999999999",
        "!re =a=2 .tag=1",
        "!done .tag=1",
        "!done .tag=1",
        "!re =late=1 .tag=1",
    ]);
    session.receive(&bytes).unwrap();
    assert_eq!(session.strays().untagged, 2);
    assert_eq!(session.strays().unknown_tag, 7);
    let reply = reply(&mut session, tags[0]);
    assert_eq!(reply.rows.len(), 1);
    assert_eq!(reply.rows[0].get("a"), Some(&b"2"[..]));
    session.receive(&wire(&["!done .tag=1"])).unwrap();
    assert!(
        session.take(tags[0]).is_none(),
        "a taken answer can't come again"
    );
}

#[test]
fn an_abandoned_command_gets_no_more_replies_and_blocks_no_other() {
    let (mut session, tags) = started(2);
    session.receive(&wire(&["!re =a=1 .tag=1"])).unwrap();
    assert_eq!(session.abandon(tags[0]).len(), 1);
    session
        .receive(&wire(&["!re =a=2 .tag=1", "!done .tag=1", "!done .tag=2"]))
        .unwrap();
    assert!(session.take(tags[0]).is_none());
    assert_eq!(reply(&mut session, tags[1]).rows.len(), 0);
    assert_eq!(session.strays().unknown_tag, 2);
}

#[test]
fn values_of_any_bytes_arrive_unchanged() {
    let (mut session, tags) = started(1);
    let mut bytes = Vec::new();
    let words: [&[u8]; 4] = [b"!re", b"=comment=\x11\xfb\x95", b"=name==a=", b".tag=1"];
    Sentence::from_words(words).encode(&mut bytes);
    bytes.extend(wire(&["!done .tag=1"]));
    session.receive(&bytes).unwrap();
    let reply = reply(&mut session, tags[0]);
    assert_eq!(reply.rows[0].get("comment"), Some(&b"\x11\xfb\x95"[..]));
    assert_eq!(reply.rows[0].get("name"), Some(&b"=a="[..]));
}

#[test]
fn endless_rows_are_cut_off() {
    let limits = Limits {
        held_bytes: 10_000,
        ..Limits::SESSION
    };
    let mut session = Session::new(limits);
    let tag = session.submit(&Command::new("/x/print"));
    let row = wire(&["!re .tag=1"]);
    let error = (0..10_000)
        .find_map(|_| session.receive(&row).err())
        .expect("a cap");
    assert!(matches!(error, Error::RepliesTooLarge { cap: 10_000 }));
    assert!(session.abandon(tag).len() < 1_000);
}

#[test]
fn one_command_gets_no_more_than_its_part() {
    let limits = Limits {
        command_bytes: 2_000,
        command_rows: 20,
        ..Limits::SESSION
    };
    let mut session = Session::new(limits);
    let (many, large) = (
        session.submit(&Command::new("/many")),
        session.submit(&Command::new("/large")),
    );
    let row = wire(&["!re .tag=1"]);
    for _ in 0..20 {
        session.receive(&row).unwrap();
    }
    assert!(session.held_bytes() > 0);
    let error = session.receive(&row).unwrap_err();
    assert!(matches!(error, Error::TooManyRows { cap: 20 }), "{error}");
    assert_eq!(error.class(), ErrorClass::ProtocolError);
    let large_row = wire(&[&format!("!re .tag=2 =a={}", "x".repeat(1_000))]);
    session.receive(&large_row).unwrap();
    let error = session.receive(&large_row).unwrap_err();
    assert!(
        matches!(error, Error::RepliesTooLarge { cap: 2_000 }),
        "{error}"
    );
    session.abandon(many);
    session.abandon(large);
    assert_eq!(
        session.held_bytes(),
        0,
        "what was given up is not counted on"
    );
}

#[test]
fn a_command_without_a_tag_that_is_forgotten_holds_nothing() {
    let mut session = Session::new(Limits::BEFORE_LOGIN);
    for _ in 0..1_000 {
        session.submit_untagged(&Command::new("/login"));
        session.receive(&wire(&["!re =a=1"])).unwrap();
    }
    assert!(session.held_bytes() < 100);
}

#[test]
fn endless_sentences_that_answer_nothing_end_the_session() {
    let limits = Limits {
        strays: 10,
        ..Limits::SESSION
    };
    for stray in ["!re =a=b", "!re .tag=77", "!done .tag=x", "!what .tag=1"] {
        let mut session = Session::new(limits);
        session.submit(&Command::new("/listen"));
        for _ in 0..3 {
            session.receive(&wire(&[stray; 10])).unwrap();
            // What answers something shows that the router is not all nonsense.
            session.receive(&wire(&["!re .tag=1"])).unwrap();
        }
        session.receive(&wire(&[stray; 10])).unwrap();
        let error = session.receive(&wire(&[stray])).unwrap_err();
        assert!(
            matches!(error, Error::TooManyStrays { cap: 10 }),
            "{stray}: {error}"
        );
        assert_eq!(error.class(), ErrorClass::ProtocolError);
    }
}

#[test]
fn messages_are_kept_as_long_as_people_read_them() {
    let (mut session, tags) = started(1);
    let long = "é".repeat(100_000);
    session
        .receive(&wire(&[
            &format!("!trap .tag=1 =message={long}"),
            "!done .tag=1",
        ]))
        .unwrap();
    let (traps, _) = session.take(tags[0]).unwrap().unwrap_err();
    assert!(traps[0].message.len() <= (4 << 10) + '…'.len_utf8());
    assert!(traps[0].message.starts_with("éé") && traps[0].message.ends_with("é…"));
    let Error::Fatal { message } = session
        .receive(&wire(&[&format!("!fatal {long}")]))
        .unwrap_err()
    else {
        panic!("not fatal");
    };
    assert!(message.len() < 5 << 10);
}

#[test]
fn taking_answers_frees_the_cap_again() {
    let limits = Limits {
        held_bytes: 1_000,
        ..Limits::SESSION
    };
    let mut session = Session::new(limits);
    for number in 1..1_000 {
        let tag = session.submit(&Command::new("/x/print"));
        let (row, done) = (
            format!("!re =a=1 .tag={number}"),
            format!("!done .tag={number}"),
        );
        session.receive(&wire(&[&row, &done])).unwrap();
        reply(&mut session, tag);
    }
}

#[test]
fn bytes_of_another_protocol_are_a_clear_error() {
    let error = started(1)
        .0
        .receive(b"\xff\xfb\x01\xff\xfb\x03")
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Decode(DecodeError::ReservedByte { byte: 0xff })
    ));
    assert_eq!(error.class(), ErrorClass::ProtocolError);
}

/// Words that a client's state reacts to, in any mix.
fn any_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "!re",
            "!done",
            "!trap",
            "!empty",
            "!xxx",
            ".tag=1",
            ".tag=2",
            ".tag=3",
            ".tag=x",
            "=message=m",
            "=category=2",
            "=category=x",
            "=ret=00",
            "=",
            "==",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..40) {
        let (mut session, tags) = started(3);
        session.submit_untagged(&Command::new("/login"));
        for piece in bytes.chunks(cut) {
            if session.receive(piece).is_err() {
                break;
            }
        }
        session.take_untagged();
        for tag in tags {
            session.take(tag);
            session.abandon(tag);
        }
    }

    #[test]
    fn the_same_bytes_give_the_same_answers_however_cut(
        sentences in prop::collection::vec(prop::collection::vec(any_word(), 1..5), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..4),
        cut in 1usize..40,
    ) {
        let mut bytes = Vec::new();
        for words in &sentences {
            Sentence::from_words(words).encode(&mut bytes);
        }
        bytes.extend(noise);
        let end = |size: usize| {
            let (mut session, tags) = started(3);
            session.submit_untagged(&Command::new("/login"));
            let error = bytes.chunks(size).find_map(|piece| session.receive(piece).err());
            let answers: Vec<_> = tags.into_iter().map(|tag| session.take(tag)).collect();
            let first = session.take_untagged();
            (error.map(|error| error.to_string()), answers, first, session.strays(), session.held_bytes())
        };
        prop_assert_eq!(end(usize::MAX), end(cut));
    }

    #[test]
    fn any_bytes_hold_no_more_than_the_caps(
        sentences in prop::collection::vec(prop::collection::vec(any_word(), 1..5), 0..200),
        cut in 1usize..400,
    ) {
        let limits = Limits { held_bytes: 600, command_bytes: 400, command_rows: 6, strays: 50, ..Limits::BEFORE_LOGIN };
        let mut session = Session::new(limits);
        for _ in 0..3 {
            session.submit(&Command::new("/x/print"));
        }
        let mut bytes = Vec::new();
        for words in &sentences {
            Sentence::from_words(words).encode(&mut bytes);
        }
        for piece in bytes.chunks(cut) {
            let over = session.receive(piece).is_err();
            prop_assert!(session.held_bytes() <= limits.held_bytes + 100);
            if over {
                break;
            }
        }
    }

    #[test]
    fn any_sentences_leave_every_command_answered_by_its_own_done(
        sentences in prop::collection::vec(prop::collection::vec(any_word(), 1..5), 0..40),
        cut in 1usize..40,
    ) {
        let (mut session, tags) = started(3);
        let mut bytes = Vec::new();
        for words in &sentences {
            Sentence::from_words(words).encode(&mut bytes);
        }
        for number in 1..=3 {
            bytes.extend(wire(&[&format!("!done .tag={number}")]));
        }
        for piece in bytes.chunks(cut) {
            session.receive(piece).unwrap();
        }
        for (tag, number) in tags.into_iter().zip(1..) {
            let expected = format!(".tag={number}").into_bytes();
            let rows = session.take(tag).expect("done").map_or_else(|(_, rows)| rows, |r| r.rows);
            for row in rows {
                prop_assert_eq!(row.words().find(|word| word.starts_with(b".tag=")), Some(&expected[..]));
            }
        }
    }
}
