//! The fleet's certificates: self-signed, as RouterOS devices have, and the same at every start.
//!
//! A client that pinned one at first use must find it again after the simulator was restarted, so keys, serial
//! numbers and dates come from the seed, and the signatures of Ed25519 and of PKCS#1 are the same each time. Old
//! devices have RSA keys, which can't be had from a seed in passing: theirs is a file here, and protects nothing.

use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{error::SimulatorError, noise::hash};

/// PKCS#8 version 1 around an Ed25519 seed (RFC 8410).
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const OLD_KEY: &[u8] = include_bytes!("old_router.key.pem");

/// Certificate and key of a seed's modern devices.
pub(crate) fn modern_certificate(
    seed: u64,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), SimulatorError> {
    let mut key = PKCS8_ED25519.to_vec();
    key.extend((0..4).flat_map(|n| hash(seed, 0xCE27, n).to_be_bytes()));
    let key = PrivatePkcs8KeyDer::from(key);
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519).map_err(broken)?;
    Ok((self_signed(seed, &pair)?, PrivateKeyDer::Pkcs8(key)))
}

/// Certificate and RSA key of a seed's old devices.
pub(crate) fn old_certificate(
    seed: u64,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), SimulatorError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(OLD_KEY)
        .map_err(|error| SimulatorError::Certificate(error.to_string()))?;
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_RSA_SHA256).map_err(broken)?;
    Ok((self_signed(seed, &pair)?, PrivateKeyDer::Pkcs8(key)))
}

fn broken(error: rcgen::Error) -> SimulatorError {
    SimulatorError::Certificate(error.to_string())
}

fn self_signed(seed: u64, pair: &KeyPair) -> Result<CertificateDer<'static>, SimulatorError> {
    let mut params = CertificateParams::new(["router.invalid".to_owned()]).map_err(broken)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "api-ssl");
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2044, 1, 1);
    params.serial_number = Some(SerialNumber::from(hash(seed, 0xCE28, 0) >> 1));
    let certificate = params.self_signed(pair).map_err(broken)?;
    Ok(certificate.der().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_certificate() {
        for certificate in [modern_certificate, old_certificate] {
            let (first, _) = certificate(7).unwrap();
            let (second, _) = certificate(7).unwrap();
            let (other, _) = certificate(8).unwrap();
            assert_eq!(first, second, "a pinned certificate survives a restart");
            assert_ne!(first, other);
        }
    }
}
