//! Both logins, as a router takes them.

use super::{Connection, Request, ServerError, shown};
use crate::codec::Limits;
use crate::login::{LoginForm, challenge_response};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};

/// A client's claim to be somebody.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    request: &'a Request,
    /// Set when a challenge was given: then the password itself isn't taken.
    challenge_hex: Option<&'a str>,
}

impl LoginAttempt<'_> {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.request.get("name").unwrap_or_default()
    }

    /// Whether the client knows this password.
    #[must_use]
    pub fn accepts(&self, password: &[u8]) -> bool {
        match self.challenge_hex {
            None => self.request.get("password") == Some(password),
            Some(challenge) => challenge_response(password, challenge.as_bytes())
                .is_ok_and(|expected| self.request.get("response") == Some(expected.as_bytes())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Serves logins until one is accepted: `true`, and the caps are those of a session. `false` when the
    /// client left first, or asked for anything else and got `!fatal`.
    ///
    /// With [`LoginForm::Challenge`] it behaves as a router before 6.43: a login without a response, be a
    /// password in it or not, is answered by a challenge.
    ///
    /// # Errors
    /// [`ServerError`]; the session is over.
    pub async fn login(
        &mut self,
        form: LoginForm,
        mut verify: impl FnMut(&LoginAttempt<'_>) -> bool,
    ) -> Result<bool, ServerError> {
        let mut challenge: Option<String> = None;
        while let Some(request) = self.next().await? {
            let tag = request.tag();
            if request.sentence().first() != b"/login" {
                tracing::debug!(path = shown(request.sentence().first()), "not logged in");
                self.replies().fatal("not logged in");
                self.flush().await?;
                return Ok(false);
            }
            if form == LoginForm::Challenge && request.get("response").is_none() {
                let fresh = fresh_challenge();
                self.replies().done_ret(tag, &fresh);
                challenge = Some(fresh);
                continue;
            }
            let attempt = LoginAttempt {
                request: &request,
                challenge_hex: challenge.as_deref(),
            };
            let proven = form == LoginForm::Password || challenge.is_some();
            let accepted = proven && verify(&attempt);
            if accepted {
                self.replies().done(tag);
                self.set_limits(Limits::SESSION);
                self.flush().await?;
                return Ok(true);
            }
            // A challenge is good for one answer.
            challenge = None;
            self.replies()
                .trap(tag, "invalid user name or password (6)", None);
            self.replies().done(tag);
        }
        Ok(false)
    }
}

/// 16 bytes in hex, no two alike in a process. Not secret: this side plays a router, it guards nothing.
fn fresh_challenge() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{:016x}{:016x}",
        count.wrapping_mul(0xD134_2543_DE82_EF95),
        count
    )
}
