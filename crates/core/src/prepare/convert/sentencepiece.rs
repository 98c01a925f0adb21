//! The pieces of a SentencePiece `tokenizer.model`: a few fields of one protobuf message, read by hand.
//!
//! Field numbers from `sentencepiece_model.proto`: `ModelProto.pieces` = 1; of a piece, `piece` = 1,
//! `score` = 2, `type` = 3. The wire format is that of protobuf's documentation.

/// One piece.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub text: String,
    pub score: f32,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub kind: u64,
}

/// Reads all pieces in order.
///
/// # Errors
/// What is wrong with the bytes.
pub(super) fn pieces(model: &[u8]) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut reader = Reader { bytes: model, length: model.len() };
    while let Some((field, value)) = reader.field()? {
        if let (1, Field::Bytes(message)) = (field, value) {
            let index = out.len();
            out.push(piece(message).map_err(|what| format!("piece {index}: {what}"))?);
        }
    }
    if out.is_empty() {
        return Err("it holds no pieces, so it is no SentencePiece model".to_owned());
    }
    Ok(out)
}

fn piece(message: &[u8]) -> Result<Piece, String> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: 1 };
    let mut reader = Reader { bytes: message, length: message.len() };
    while let Some(field) = reader.field()? {
        match field {
            (1, Field::Bytes(text)) => match std::str::from_utf8(text) {
                Ok(text) => text.clone_into(&mut piece.text),
                Err(_) => return Err("its text is no UTF-8".to_owned()),
            },
            (2, Field::Fixed32(raw)) => piece.score = f32::from_le_bytes(raw),
            (3, Field::Varint(kind)) => piece.kind = kind,
            _ => {}
        }
    }
    Ok(piece)
}

/// A field's value as it lies on the wire.
enum Field<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
    /// Fields that nobody here asks for.
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    /// The next field and its number; `None` at the end.
    fn field(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Other
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                let mut raw = [0; 4];
                raw.copy_from_slice(self.take(4)?);
                Field::Fixed32(raw)
            }
            wire => return Err(format!("at byte {}, the unknown wire type {wire}", self.at())),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn at(&self) -> usize {
        self.length - self.bytes.len()
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(count).ok().and_then(|count| self.bytes.split_at_checked(count));
        let Some((taken, rest)) = split else {
            return Err(format!(
                "at byte {}, {count} bytes are announced but only {} follow",
                self.at(),
                self.bytes.len()
            ));
        };
        self.bytes = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(format!("at byte {}, a number without end", self.at()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pieces, and fields of other kinds between and behind them.
    const MODEL: &[u8] = &[
        0x0a, 14, 0x0a, 5, b'<', b'u', b'n', b'k', b'>', 0x15, 0, 0, 0, 0, 0x18, 2, // unknown, score 0
        0x12, 2, 0x08, 1, // trainer_spec
        0x0a, 9, 0x0a, 2, b'a', b'b', 0x15, 0, 0, 0x80, 0xbf, // normal, score -1
        0x20, 0xac, 2, 0x29, 1, 2, 3, 4, 5, 6, 7, 8, // a varint and a double nobody knows
    ];

    #[test]
    fn pieces_are_read_and_other_fields_passed_over() {
        let expected = [
            Piece { text: "<unk>".to_owned(), score: 0.0, kind: 2 },
            Piece { text: "ab".to_owned(), score: -1.0, kind: 1 },
        ];
        assert_eq!(pieces(MODEL).unwrap(), expected);
    }

    #[test]
    fn damaged_models_are_refused_without_panic() {
        assert!(pieces(b"").is_err());
        assert!(pieces(b"\x08\x01").unwrap_err().contains("no pieces"));
        assert!(pieces(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
        for cut in 0..MODEL.len() {
            let _ = pieces(&MODEL[..cut]);
            let mut damaged = MODEL.to_vec();
            damaged[cut] ^= 0xff;
            let _ = pieces(&damaged);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120)) {
            let _ = pieces(&bytes);
        }

        /// Every byte is one that the wire format gives a meaning to.
        #[test]
        fn fields_in_any_order_are_read_or_refused(
            bytes in proptest::collection::vec(proptest::sample::select(&[0x0au8, 0x10, 0x12, 0x15, 0x18, 0, 1, 2, 9, 0x80, 0xff][..]), 0..60)
        ) {
            let _ = pieces(&bytes);
        }
    }
}
