//! The fleet's certificates: self-signed, as RouterOS devices have, and the same at every start.
//!
//! A client that pinned one at first use must find it again after the simulator was restarted, so keys, serial
//! numbers and dates come from the seed, and the signatures of Ed25519 and of PKCS#1 are the same each time. They
//! protect nothing: who knows the seed has them.

use openssl::{
    bn::{BigNum, BigNumContext},
    error::ErrorStack,
    pkey::PKey,
    rsa::Rsa,
};
use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{error::SimulatorError, noise::hash};

/// PKCS#8 version 1 around an Ed25519 seed (RFC 8410).
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

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
    let key = rsa_key(seed).map_err(|error| SimulatorError::Certificate(error.to_string()))?;
    let key = PrivatePkcs8KeyDer::from(key);
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_RSA_SHA256).map_err(broken)?;
    Ok((self_signed(seed, &pair)?, PrivateKeyDer::Pkcs8(key)))
}

/// A 2048-bit RSA key of a seed, as PKCS#8 in DER form (components as in RFC 8017, 3.2).
fn rsa_key(seed: u64) -> Result<Vec<u8>, ErrorStack> {
    let mut ctx = BigNumContext::new()?;
    let (one, e) = (BigNum::from_u32(1)?, BigNum::from_u32(65_537)?);
    let (mut p, mut q) = (
        prime(seed, 0xCE29, &mut ctx)?,
        prime(seed, 0xCE2A, &mut ctx)?,
    );
    if p < q {
        std::mem::swap(&mut p, &mut q);
    }
    let less_one = |n: &BigNum| -> Result<BigNum, ErrorStack> {
        let mut less = BigNum::new()?;
        less.checked_sub(n, &one)?;
        Ok(less)
    };
    let (p1, q1) = (less_one(&p)?, less_one(&q)?);
    let [mut n, mut phi, mut d, mut d_p, mut d_q, mut q_inverse] = [
        BigNum::new()?,
        BigNum::new()?,
        BigNum::new()?,
        BigNum::new()?,
        BigNum::new()?,
        BigNum::new()?,
    ];
    n.checked_mul(&p, &q, &mut ctx)?;
    phi.checked_mul(&p1, &q1, &mut ctx)?;
    d.mod_inverse(&e, &phi, &mut ctx)?;
    d_p.checked_rem(&d, &p1, &mut ctx)?;
    d_q.checked_rem(&d, &q1, &mut ctx)?;
    q_inverse.mod_inverse(&q, &p, &mut ctx)?;
    let key = Rsa::from_private_components(n, e, d, p, q, d_p, d_q, q_inverse)?;
    PKey::from_rsa(key)?.private_key_to_pkcs8()
}

/// The first 1024-bit prime from a seeded number on that fits the exponent 65537. Its two highest bits are set, so the
/// product of two has 2048.
fn prime(seed: u64, salt: u64, ctx: &mut BigNumContext) -> Result<BigNum, ErrorStack> {
    /// Rounds of Miller-Rabin.
    const CHECKS: i32 = 32;
    let mut bytes: Vec<u8> = (0..16)
        .flat_map(|n| hash(seed, salt, n).to_be_bytes())
        .collect();
    bytes[0] |= 0xC0;
    bytes[127] |= 1;
    let mut candidate = BigNum::from_slice(&bytes)?;
    // With p = 1 modulo e, e had no inverse.
    while candidate.mod_word(65_537)? == 1 || !candidate.is_prime_fasttest(CHECKS, ctx, true)? {
        candidate.add_word(2)?;
    }
    Ok(candidate)
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
