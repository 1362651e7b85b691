//! A choice of views.

use mast_schemas::views::View;

/// Some of the views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Views(u16);

const fn bit(view: View) -> u16 {
    1 << view as u16
}

impl Views {
    pub(crate) fn all() -> Self {
        View::ALL.iter().copied().collect()
    }

    pub(crate) const fn has(self, view: View) -> bool {
        self.0 & bit(view) != 0
    }
}

impl FromIterator<View> for Views {
    fn from_iter<I: IntoIterator<Item = View>>(views: I) -> Self {
        Self(views.into_iter().fold(0, |all, view| all | bit(view)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_has_what_was_chosen() {
        let some: Views = [View::Links, View::SectorHealth].into_iter().collect();
        for view in View::ALL {
            assert!(Views::all().has(*view));
            let chosen = matches!(view, View::Links | View::SectorHealth);
            assert_eq!(some.has(*view), chosen, "{view:?}");
        }
    }
}
