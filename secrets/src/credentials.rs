//! A user name and its password, and the bytes that are sealed for them.

use crate::{Plaintext, Secret, SecretsError};

/// What logs in to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

impl Credentials {
    /// Puts the two together.
    pub fn new(username: impl Into<String>, password: Secret) -> Self {
        Self {
            username: username.into(),
            password,
        }
    }

    /// The length of the user name (u32, little endian), the user name, the password; all in UTF-8.
    pub fn encode(&self) -> Plaintext {
        let (username, password) = (self.username.as_bytes(), self.password.expose().as_bytes());
        // One allocation of the full size: growing would leave copies of the password behind.
        let mut bytes = Vec::with_capacity(4 + username.len() + password.len());
        bytes.extend_from_slice(
            &u32::try_from(username.len())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
        bytes.extend_from_slice(username);
        bytes.extend_from_slice(password);
        Plaintext::new(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`SecretsError::Credentials`] when the bytes are anything else.
    pub fn decode(plaintext: &Plaintext) -> Result<Self, SecretsError> {
        let bad = SecretsError::Credentials;
        let Some((length, rest)) = plaintext.expose().split_first_chunk::<4>() else {
            return Err(bad);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((username, password)) = rest.split_at_checked(length) else {
            return Err(bad);
        };
        let (Ok(username), Ok(password)) =
            (std::str::from_utf8(username), std::str::from_utf8(password))
        else {
            return Err(bad);
        };
        Ok(Self::new(username, Secret::new(password)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_texts_come_back(username in ".*", password in ".*") {
            let credentials = Credentials::new(username, Secret::new(password));
            prop_assert_eq!(Credentials::decode(&credentials.encode()).unwrap(), credentials);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Credentials::decode(&Plaintext::new(bytes));
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for bytes in [
            &[][..],
            &[0, 0, 0],
            &[255, 255, 255, 255, 1],
            &[1, 0, 0, 0, 0xff],
        ] {
            assert!(matches!(
                Credentials::decode(&Plaintext::new(bytes.to_vec())),
                Err(SecretsError::Credentials)
            ));
        }
    }
}
