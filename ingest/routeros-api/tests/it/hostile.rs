//! Routers that answer with any bytes, over real sockets: every call ends, within what it was given, with an answer or with an
//! error that has a class.

use crate::support::{LONG, credentials, listen, log_in, wire};
use proptest::prelude::*;
use routeros_api::{Client, Command, Deadlines, Error, LoginForm, Target, TlsMode};
use std::future::Future;
use tokio::io::AsyncWriteExt;

/// Bytes of a router that is broken, hostile, or of another kind: rubbish, and sentences with rubbish in them.
fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "!re",
            "!done",
            "!trap",
            "!fatal",
            "!empty",
            ".tag=1",
            ".tag=2",
            "=ret=abc123",
            "=message=x",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    let sentence = prop::collection::vec(word, 0..5).prop_map(|words| {
        let mut bytes = Vec::new();
        routeros_api::Sentence::from_words(words).encode(&mut bytes);
        bytes
    });
    let sentences = prop::collection::vec(sentence, 0..8).prop_map(|parts| parts.concat());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), sentences]
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_answer_to_a_login_ends_it(answer in any_answer(), known_modern in any::<bool>()) {
        run(async move {
            let address = listen(move |mut io| {
                let answer = answer.clone();
                async move {
                    let _ = io.write_all(&answer).await;
                    let _ = io.shutdown().await;
                }
            })
            .await;
            let target = Target { known_modern, ..Target::new(address) };
            let deadlines = Deadlines::all(LONG);
            let result = Client::connect(&target, &credentials(), &deadlines, &TlsMode::Plain).await;
            if let Err(error) = result {
                assert!(!matches!(error, Error::Timeout { .. }), "the router has left: {error}");
            }
        });
    }

    #[test]
    fn any_answer_to_commands_ends_them(answer in any_answer(), cut in 0usize..64) {
        run(async move {
            let address = listen(move |io| {
                let answer = answer.clone();
                async move {
                    let mut connection = log_in(io, LoginForm::Challenge).await;
                    let (begin, end) = answer.split_at(cut.min(answer.len()));
                    for part in [begin, end] {
                        connection.replies().raw(part);
                        let _ = connection.flush().await;
                    }
                    connection.replies().raw(&wire(&["!done .tag=1"]));
                    let _ = connection.shutdown().await;
                }
            })
            .await;
            let deadlines = Deadlines::all(LONG);
            let target = Target::new(address);
            let mut client = Client::connect(&target, &credentials(), &deadlines, &TlsMode::Plain)
                .await
                .unwrap();
            let plan = ["/one", "/two"].map(Command::new);
            for answer in client.call_many(&plan, LONG).await {
                if let Err(error) = answer {
                    let timeout = routeros_api::ErrorClass::Timeout;
                    assert_ne!(error.class(), Some(timeout), "the router has left");
                }
            }
        });
    }
}
