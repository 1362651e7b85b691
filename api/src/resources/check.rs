//! What inputs must be, beyond their types; and what Postgres refused of them, in words.

use crate::bounds::{Bounds, NAME_MAX, TEXT_MAX, name_fault};
use crate::http::problem::{FieldError, Kind, Problem};

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
        if let Some(fault) = name_fault(name) {
            let rule =
                format!("{fault}: must have 1 to {NAME_MAX} bytes, none a control character");
            self.must(false, pointer, rule);
        }
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

    pub(crate) fn range(&mut self, pointer: &str, value: Option<f64>, bounds: Bounds) {
        let within = value.is_none_or(|value| bounds.hold(value));
        self.must(within, pointer, format!("must be {bounds}"));
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
