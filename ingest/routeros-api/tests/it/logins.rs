//! Both logins: known answers, then each policy against each kind of router over a socket.

use crate::support::{LONG, credentials, echo, listen, log_in, patient};
use routeros_api::login::challenge_response;
use routeros_api::server::{Connection, LoginAttempt};
use routeros_api::{
    CallError, Client, Command, Credentials, Error, ErrorClass, LoginForm, LoginPolicy, Sentence,
    Step, Target, TlsMode,
};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[test]
fn challenge_known_answers() {
    let cases = [
        ("passTest", "abc123", "0021277bff9ac7caf06aa608e46616d47f"),
        (
            "",
            "856780b7411eefd3abadee2058c149a3",
            "005062f7a5ef124d34675bf3e81f56c556",
        ),
    ];
    for (password, challenge, expected) in cases {
        assert_eq!(
            challenge_response(password.as_bytes(), challenge.as_bytes()).unwrap(),
            expected
        );
    }
}

#[test]
fn a_bad_challenge_is_a_protocol_error() {
    for challenge in ["xyz", "abc", "zz"] {
        let error = challenge_response(b"passTest", challenge.as_bytes()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::ProtocolError);
    }
}

#[test]
fn policy_for_each_channel() {
    assert_eq!(
        LoginPolicy::for_channel(true, false),
        LoginPolicy::PasswordFirst
    );
    assert_eq!(
        LoginPolicy::for_channel(true, true),
        LoginPolicy::PasswordFirst
    );
    assert_eq!(
        LoginPolicy::for_channel(false, true),
        LoginPolicy::PasswordFirst
    );
    assert_eq!(
        LoginPolicy::for_channel(false, false),
        LoginPolicy::ChallengeFirst
    );
}

async fn over(stream: TcpStream, policy: LoginPolicy) -> Result<Client, Error> {
    Client::login_over(Box::new(stream), policy, &credentials(), &patient()).await
}

#[tokio::test]
async fn each_policy_gets_into_each_router() {
    let cases = [
        (LoginPolicy::PasswordFirst, LoginForm::Password),
        (LoginPolicy::PasswordFirst, LoginForm::Challenge),
        (LoginPolicy::ChallengeFirst, LoginForm::Challenge),
        // A bare login is refused, then the password is taken.
        (LoginPolicy::ChallengeFirst, LoginForm::Password),
    ];
    for (policy, form) in cases {
        let address = listen(move |io| async move { echo(log_in(io, form).await).await }).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = over(stream, policy).await.unwrap();
        assert_eq!(client.info().login_form, form);
        let reply = client
            .call(&Command::new("/system/identity/print"))
            .await
            .unwrap();
        assert_eq!(
            reply.rows[0].text("path").as_deref(),
            Some("/system/identity/print")
        );
        client.close(LONG).await;
    }
}

/// Plays a script: per step the words of the sentence expected, and those of the answers.
fn scripted(
    script: Vec<(&'static str, Vec<&'static str>)>,
) -> impl Fn(TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    move |io| {
        let script = script.clone();
        Box::pin(async move {
            let mut connection = Connection::new(io);
            for (expected, answers) in script {
                let request = connection.next().await.unwrap().expect("a request");
                assert_eq!(
                    request.sentence(),
                    &Sentence::from_words(expected.split(' '))
                );
                for answer in answers {
                    connection
                        .replies()
                        .sentence(&Sentence::from_words(answer.split(' ')));
                }
                connection.flush().await.unwrap();
            }
            while let Ok(Some(_)) = connection.next().await {}
        })
    }
}

async fn connect_plain(
    script: Vec<(&'static str, Vec<&'static str>)>,
    known_modern: bool,
) -> Result<Client, Error> {
    let mut target = Target::new(listen(scripted(script)).await);
    target.known_modern = known_modern;
    Client::connect(&target, &credentials(), &patient(), &TlsMode::Plain).await
}

#[tokio::test]
async fn on_plain_the_password_word_goes_first_only_to_a_known_modern_router() {
    let modern = vec![("/login =name=userTest =password=passTest", vec!["!done"])];
    let client = connect_plain(modern, true).await.unwrap();
    assert_eq!(client.info().login_form, LoginForm::Password);

    let old = vec![
        ("/login", vec!["!done =ret=abc123"]),
        (
            "/login =name=userTest =response=0021277bff9ac7caf06aa608e46616d47f",
            vec!["!done"],
        ),
    ];
    let client = connect_plain(old, false).await.unwrap();
    assert_eq!(client.info().login_form, LoginForm::Challenge);
    assert_eq!(client.info().fingerprint, None);
}

#[tokio::test]
async fn an_unknown_plain_router_that_gives_no_challenge_gets_the_password() {
    for refusal in [vec!["!done"], vec!["!trap =message=no", "!done"]] {
        let script = vec![
            ("/login", refusal),
            ("/login =name=userTest =password=passTest", vec!["!done"]),
        ];
        let client = connect_plain(script, false).await.unwrap();
        assert_eq!(client.info().login_form, LoginForm::Password);
    }
}

#[tokio::test]
async fn a_refused_response_is_not_followed_by_the_password() {
    let script = vec![
        ("/login", vec!["!done =ret=abc123"]),
        (
            "/login =name=userTest =response=0021277bff9ac7caf06aa608e46616d47f",
            vec!["!trap =message=cannot_log_in", "!done"],
        ),
    ];
    let error = connect_plain(script, false).await.unwrap_err();
    assert!(matches!(error, Error::AuthFailed { message } if message == "cannot_log_in"));
}

#[tokio::test]
async fn an_unreadable_challenge_is_a_protocol_error() {
    let error = connect_plain(vec![("/login", vec!["!done =ret=xyz"])], false)
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::ProtocolError);
}

#[tokio::test]
async fn wrong_credentials_are_auth_failed_in_both_forms() {
    for form in [LoginForm::Password, LoginForm::Challenge] {
        let address = listen(move |io| async move {
            let mut connection = Connection::new(io);
            let accepted = connection.login(form, |attempt| {
                attempt.name() == b"userTest" && attempt.accepts(b"other")
            });
            assert!(!accepted.await.unwrap());
        })
        .await;
        let target = Target {
            known_modern: true,
            ..Target::new(address)
        };
        let result = Client::connect(&target, &credentials(), &patient(), &TlsMode::Plain).await;
        let error = result.unwrap_err();
        assert_eq!(error.class(), ErrorClass::AuthFailed);
        assert_eq!(
            error.to_string(),
            "login refused: invalid user name or password (6)"
        );
    }
}

#[tokio::test]
async fn a_command_before_the_login_is_fatal() {
    let ended = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&ended);
    let address = listen(move |io| {
        let seen = Arc::clone(&seen);
        async move {
            let accepted = Connection::new(io)
                .login(LoginForm::Password, |_| true)
                .await;
            *seen.lock().unwrap() = Some(accepted.unwrap());
        }
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"\x16/system/identity/print\0")
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"\x06!fatal\x0dnot logged in\0");
    assert_eq!(*ended.lock().unwrap(), Some(false));
}

#[tokio::test]
async fn a_response_without_a_challenge_is_no_proof() {
    let address = listen(|io| async move {
        let login = Connection::new(io)
            .login(LoginForm::Challenge, |_| true)
            .await;
        assert!(!login.unwrap());
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut words = Vec::new();
    Sentence::from_words(["/login", "=name=a", "=response=00"]).encode(&mut words);
    stream.write_all(&words).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"\x05!trap"), "{answer:?}");
}

#[tokio::test]
async fn a_challenge_is_good_for_one_answer() {
    let (near, far) = tokio::io::duplex(4096);
    let server = tokio::spawn(async move {
        let verify = |attempt: &LoginAttempt<'_>| attempt.accepts(b"passTest");
        Connection::new(far)
            .login(LoginForm::Challenge, verify)
            .await
            .unwrap()
    });
    let mut client = Connection::new(near);
    let mut say = async |words: &[&str]| {
        client.replies().sentence(&Sentence::from_words(words));
        client.flush().await.unwrap();
        client.next().await.unwrap().unwrap().sentence().clone()
    };
    let challenge = say(&["/login"]).await.get("ret").unwrap().to_vec();
    let right = challenge_response(b"passTest", &challenge).unwrap();
    let response = format!("=response={right}");
    let refused = say(&["/login", "=name=a", "=response=00"]).await;
    assert_eq!(refused.first(), b"!trap");
    let end_of_refusal = say(&["/login", "=name=a", &response]).await;
    assert_eq!(end_of_refusal.first(), b"!done");
    assert_eq!(
        client.next().await.unwrap().unwrap().sentence().first(),
        b"!trap"
    );
    drop(client);
    assert!(!server.await.unwrap(), "the spent challenge let nobody in");
}

#[tokio::test]
async fn sentences_before_login_are_capped_small() {
    let address = listen(|io| async move {
        Connection::new(io)
            .login(LoginForm::Password, |_| true)
            .await
            .unwrap_err();
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\xe0\x10\0\0").await.unwrap();
    let mut answer = Vec::new();
    assert_eq!(
        stream.read_to_end(&mut answer).await.unwrap(),
        0,
        "the server hangs up"
    );
}

#[tokio::test]
async fn a_router_that_hangs_up_at_login_or_in_a_reply_is_told_so() {
    let address = listen(|io| async move { drop(io) }).await;
    let target = Target::new(address);
    let result = Client::connect(&target, &credentials(), &patient(), &TlsMode::Plain).await;
    assert_eq!(result.unwrap_err().class(), ErrorClass::Io);

    let address = listen(|io| async move {
        let mut connection = log_in(io, LoginForm::Challenge).await;
        connection.next().await.unwrap().unwrap();
        connection
            .replies()
            .raw(b"\x03!re\x06.tag=1\0\x03!re\x20half");
        connection.shutdown().await.unwrap();
    })
    .await;
    let target = Target::new(address);
    let mut client = Client::connect(&target, &credentials(), &patient(), &TlsMode::Plain)
        .await
        .unwrap();
    let CallError::Connection { error, rows } =
        client.call(&Command::new("/x/print")).await.unwrap_err()
    else {
        panic!("the connection is over");
    };
    assert_eq!(rows.len(), 1);
    assert!(matches!(
        error,
        Error::Closed {
            step: Step::Command,
            mid_sentence: true
        }
    ));
    assert!(!client.is_open());
}

#[test]
fn credentials_do_not_print_the_password() {
    let shown = format!("{:?}", Credentials::new("reader", "passTest"));
    assert!(!shown.contains("passTest"), "{shown}");
}
