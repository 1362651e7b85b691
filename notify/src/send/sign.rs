//! Signatures of webhooks.

use ring::hmac;

/// `Mast-Signature` of a body: HMAC-SHA-256 over the timestamp, a dot and the body, as `v1=` and hexadecimal digits. The
/// timestamp (seconds since 1970, `Mast-Timestamp`) is signed too: who listened in can't send it again later as new.
pub fn signature(key: &[u8], timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    format!("v1={}", hex::encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(
            signature(b"0123456789abcdef", "1700000000", "{\"a\":1}"),
            "v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"
        );
    }
}
