//! Both logins, decided without I/O.
//!
//! From 6.43 on a router takes name and password as they are; older ones give a challenge, and take
//! md5 of it with the password. Whoever sends the password form first tells an old router's network
//! the password: on a plain channel that is done only with a router known to be new enough.

use crate::client::Credentials;
use crate::command::Command;
use crate::error::Error;
use crate::protocol::Outcome;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

/// Which handshake it was, or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginForm {
    /// Name and password as they are: 6.43 and later.
    Password,
    /// md5 over a challenge: before 6.43.
    Challenge,
}

/// Which form to try first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginPolicy {
    /// Password first; a challenge in the answer is met.
    PasswordFirst,
    /// Ask for a challenge first; the password is sent only to a router that gives none.
    ChallengeFirst,
}

impl LoginPolicy {
    /// The policy for a channel: the password goes first only if encrypted, or to a router known to
    /// be 6.43 or later.
    #[must_use]
    pub const fn for_channel(encrypted: bool, known_modern: bool) -> Self {
        if encrypted || known_modern {
            Self::PasswordFirst
        } else {
            Self::ChallengeFirst
        }
    }
}

/// Whether a version such as `6.49.10 (long-term)` or `7.15.3` takes the password form: 6.43 and later.
/// Text that is no version doesn't.
#[must_use]
pub fn takes_password_form(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part[..digits].parse::<u32>().ok()
    });
    let major = numbers.next().flatten();
    let minor = numbers.next().flatten();
    match (major, minor) {
        (Some(6), Some(minor)) => minor >= 43,
        (Some(major), _) => major >= 7,
        _ => false,
    }
}

/// The answer to a challenge: `00` and md5 of a zero byte, the password and the challenge, in hex.
///
/// # Errors
/// [`Error::BadChallenge`] when the challenge is not pairs of hexadecimal digits.
pub fn challenge_response(password: &[u8], challenge_hex: &[u8]) -> Result<String, Error> {
    let challenge = hex::decode(challenge_hex).map_err(|_| Error::BadChallenge)?;
    let digest = Md5::new()
        .chain_update([0])
        .chain_update(password)
        .chain_update(&challenge)
        .finalize();
    Ok(format!("00{}", hex::encode(digest)))
}

/// What to do next in a login.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this command, without a tag, and bring its outcome.
    Send(Command),
    /// Logged in.
    Done(LoginForm),
}

/// A login under way.
#[derive(Debug)]
pub struct Login<'a> {
    credentials: &'a Credentials,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    AskedForChallenge,
    SentPassword,
    SentResponse,
}

impl<'a> Login<'a> {
    /// Begins a login: the first command to send.
    #[must_use]
    pub fn begin(policy: LoginPolicy, credentials: &'a Credentials) -> (Self, Command) {
        let (state, command) = match policy {
            LoginPolicy::PasswordFirst => (State::SentPassword, password_command(credentials)),
            LoginPolicy::ChallengeFirst => (State::AskedForChallenge, Command::new("/login")),
        };
        (Self { credentials, state }, command)
    }

    /// Goes on with the outcome of the command sent last.
    ///
    /// # Errors
    /// [`Error::AuthFailed`] when the router refuses, [`Error::BadChallenge`] when its challenge
    /// can't be read.
    pub fn step(&mut self, outcome: Outcome) -> Result<LoginStep, Error> {
        match (self.state, outcome) {
            (State::SentPassword | State::AskedForChallenge, Ok(reply))
                if reply.ret().is_some() =>
            {
                self.respond(reply.ret().unwrap_or_default())
            }
            // No challenge, or no such form any more: the router is new enough for the password.
            (State::AskedForChallenge, _) => {
                self.state = State::SentPassword;
                Ok(LoginStep::Send(password_command(self.credentials)))
            }
            (State::SentPassword, Ok(_)) => Ok(LoginStep::Done(LoginForm::Password)),
            (State::SentResponse, Ok(_)) => Ok(LoginStep::Done(LoginForm::Challenge)),
            (State::SentPassword | State::SentResponse, Err((traps, _))) => {
                let message = traps.into_iter().next().map(|trap| trap.message);
                Err(Error::AuthFailed {
                    message: message.unwrap_or_default(),
                })
            }
        }
    }

    fn respond(&mut self, challenge_hex: &[u8]) -> Result<LoginStep, Error> {
        let credentials = self.credentials;
        let response = challenge_response(credentials.password.expose(), challenge_hex)?;
        let response = Zeroizing::new(response);
        self.state = State::SentResponse;
        let command = Command::new("/login")
            .attribute("name", &credentials.username)
            .attribute("response", response.as_bytes());
        Ok(LoginStep::Send(command))
    }
}

fn password_command(credentials: &Credentials) -> Command {
    Command::new("/login")
        .attribute("name", &credentials.username)
        .attribute("password", credentials.password.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_take_the_password_form() {
        for version in [
            "6.43",
            "6.43.2 (stable)",
            "6.49.10 (long-term)",
            "7.0",
            "7.15beta3",
            "10.1",
        ] {
            assert!(takes_password_form(version), "{version}");
        }
        for version in [
            "6.42.12", "6.4", "5.26", "3.30", "6", "", "unknown", "v7", ".7",
        ] {
            assert!(!takes_password_form(version), "{version}");
        }
    }
}
