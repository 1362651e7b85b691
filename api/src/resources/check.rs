//! What inputs must be, beyond their types; and what Postgres refused of them, in words.

use crate::http::problem::{FieldError, Kind, Problem};

/// Longest name, in bytes: an index entry must hold it.
pub(crate) const NAME_MAX: usize = 200;
/// Longest other text, in bytes.
pub(crate) const TEXT_MAX: usize = 10_000;
/// Longest password, in bytes.
pub(crate) const PASSWORD_MAX: usize = 1_000;
/// Most groups of a device, and most tags.
pub(crate) const LABELS_MAX: usize = 100;

/// Everything that is wrong with an input.
#[derive(Default)]
pub(crate) struct Checks(Vec<FieldError>);

impl Checks {
    pub(crate) fn must(&mut self, holds: bool, pointer: &str, detail: impl Into<String>) {
        if !holds {
            self.0.push(FieldError::new(pointer, detail));
        }
    }

    pub(crate) fn name(&mut self, pointer: &str, name: &str) {
        let fits = (1..=NAME_MAX).contains(&name.len()) && !name.trim().is_empty();
        self.must(fits, pointer, format!("must have 1 to {NAME_MAX} bytes"));
        let plain = !name.chars().any(char::is_control);
        self.must(plain, pointer, "must have no control characters");
    }

    pub(crate) fn text(&mut self, pointer: &str, text: Option<&str>) {
        let Some(text) = text else {
            return;
        };
        let fits = (1..=TEXT_MAX).contains(&text.len());
        self.must(
            fits,
            pointer,
            format!("must be null or have 1 to {TEXT_MAX} bytes"),
        );
        self.must(!text.contains('\0'), pointer, "must have no NUL");
    }

    pub(crate) fn range(&mut self, pointer: &str, value: Option<f64>, low: f64, high: f64) {
        let within = value.is_none_or(|value| (low..=high).contains(&value));
        self.must(within, pointer, format!("must be {low} to {high}"));
    }

    /// # Errors
    /// Everything that was found, at once.
    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Problem::invalid(self.0))
    }
}

/// What a write was refused for: a name that is taken, or a reference to what is not there for this tenant. `keys` says
/// which field stands behind which foreign key, by a part of the constraint's name.
pub(crate) fn refused(error: sqlx::Error, keys: &[(&str, &str)]) -> Problem {
    let sqlx::Error::Database(database) = &error else {
        return error.into();
    };
    let constraint = database.constraint().unwrap_or_default();
    match database.code().as_deref() {
        Some("23505") => Problem::new(
            Kind::Conflict,
            "something of this kind has that name or place already",
        ),
        Some("23503") => {
            let found = keys.iter().find(|(part, _)| constraint.contains(part));
            let pointer = found.map_or("", |(_, pointer)| pointer);
            Problem::field(pointer, "there is no such thing in this tenant")
        }
        // A check of the table that is not among ours above would be a gap of those.
        Some("23514") => Problem::field("", "a rule of the model does not hold"),
        _ => error.into(),
    }
}
