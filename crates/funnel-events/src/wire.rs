//! Which encoding a record's bytes have. One today; framed Avro has its place here.

use crate::reject::{Reject, RejectCode};

/// Encodings of a record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireFormat {
    /// The envelope as plain JSON text.
    Json,
}

/// Tells the encoding by the first byte. JSON text never begins with the magic bytes of registry
/// framing.
pub(crate) fn detect(bytes: &[u8]) -> Result<WireFormat, Box<Reject>> {
    match bytes.first() {
        Some(magic @ (0x00 | 0x01)) => Err(Box::new(Reject::new(
            RejectCode::WireFormat,
            format!(
                "the value begins with the magic byte 0x{magic:02x} of schema registry framing; only plain JSON is read"
            ),
        ))),
        _ => Ok(WireFormat::Json),
    }
}
