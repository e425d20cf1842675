//! `COPY … TO STDOUT`: rows as text, CSV or PostgreSQL's binary form.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption};
use pgwire::messages::data::DataRow;

use super::errors::Failure;

/// Signature, flags and length of an extension, as PostgreSQL writes them.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const BINARY_END: [u8; 2] = (-1_i16).to_be_bytes();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// What the options of `COPY` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyForm {
    pub(super) format: CopyFormat,
    header: bool,
    delimiter: u8,
    null: String,
    quote: u8,
    escape: u8,
    /// Texts are quoted even where they need not be.
    force_quote: bool,
}

impl CopyForm {
    fn new(format: CopyFormat) -> Self {
        let csv = format == CopyFormat::Csv;
        Self {
            format,
            header: false,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { String::new() } else { "\\N".to_owned() },
            quote: b'"',
            escape: b'"',
            force_quote: false,
        }
    }

    pub(super) fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, Failure> {
        let mut form = Self::new(named_format(options, legacy)?);
        let mut escape = None;
        for option in options {
            match option {
                CopyOption::Format(_) | CopyOption::Freeze(_) => {}
                CopyOption::Delimiter(char) => form.delimiter = byte("DELIMITER", *char)?,
                CopyOption::Null(text) => form.null.clone_from(text),
                CopyOption::Header(header) => form.header = *header,
                CopyOption::Quote(char) => form.quote = byte("QUOTE", *char)?,
                CopyOption::Escape(char) => escape = Some(byte("ESCAPE", *char)?),
                CopyOption::ForceQuote(_) => form.force_quote = true,
                CopyOption::Encoding(name) if is_utf8(name) => {}
                other => return Err(unknown(other)),
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Binary => {}
                CopyLegacyOption::Delimiter(char) => form.delimiter = byte("DELIMITER", *char)?,
                CopyLegacyOption::Null(text) => form.null.clone_from(text),
                CopyLegacyOption::Header => form.header = true,
                CopyLegacyOption::Csv(options) => {
                    for option in options {
                        match option {
                            CopyLegacyCsvOption::Header => form.header = true,
                            CopyLegacyCsvOption::Quote(char) => form.quote = byte("QUOTE", *char)?,
                            CopyLegacyCsvOption::Escape(char) => {
                                escape = Some(byte("ESCAPE", *char)?);
                            }
                            CopyLegacyCsvOption::ForceQuote(_) => form.force_quote = true,
                            other => return Err(unknown(other)),
                        }
                    }
                }
                other => return Err(unknown(other)),
            }
        }
        form.escape = escape.unwrap_or(form.quote);
        Ok(form)
    }

    pub(super) fn is_binary(&self) -> bool {
        self.format == CopyFormat::Binary
    }

    /// What stands before the rows; empty where nothing does.
    pub(super) fn start(&self, names: &[&str]) -> Bytes {
        if self.is_binary() {
            return Bytes::from_static(BINARY_HEADER);
        }
        if !self.header {
            return Bytes::new();
        }
        let mut line = BytesMut::new();
        for (at, name) in names.iter().enumerate() {
            self.field(&mut line, at, Some(name.as_bytes()), false);
        }
        line.put_u8(b'\n');
        line.freeze()
    }

    /// A row, of which the fields stand in the form of a data row: texts, or binary.
    pub(super) fn row(&self, row: &DataRow) -> Bytes {
        let mut line = BytesMut::with_capacity(row.data.len() + 2);
        if self.is_binary() {
            line.put_i16(row.field_count);
            line.put_slice(&row.data);
            return line.freeze();
        }
        for (at, value) in fields(row).enumerate() {
            self.field(&mut line, at, value, self.force_quote);
        }
        line.put_u8(b'\n');
        line.freeze()
    }

    /// What stands after the rows.
    pub(super) fn end(&self) -> Bytes {
        if self.is_binary() {
            Bytes::copy_from_slice(&BINARY_END)
        } else {
            Bytes::new()
        }
    }

    fn field(&self, line: &mut BytesMut, at: usize, value: Option<&[u8]>, quoted: bool) {
        if at > 0 {
            line.put_u8(self.delimiter);
        }
        let Some(value) = value else {
            line.put_slice(self.null.as_bytes());
            return;
        };
        if self.format == CopyFormat::Text {
            self.escaped(line, value);
            return;
        }
        let special = |byte: &u8| [self.delimiter, self.quote, b'\n', b'\r'].contains(byte);
        // A value that reads like NULL is told apart from it by its quotes; `\.` alone would end the data.
        let quoted =
            quoted || value == self.null.as_bytes() || value == b"\\." || value.iter().any(special);
        if !quoted {
            line.put_slice(value);
            return;
        }
        line.put_u8(self.quote);
        for byte in value {
            if *byte == self.quote || *byte == self.escape {
                line.put_u8(self.escape);
            }
            line.put_u8(*byte);
        }
        line.put_u8(self.quote);
    }

    fn escaped(&self, line: &mut BytesMut, value: &[u8]) {
        for byte in value {
            let letter = match *byte {
                b'\\' => b'\\',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x08 => b'b',
                0x0b => b'v',
                0x0c => b'f',
                byte if byte == self.delimiter => byte,
                byte => {
                    line.put_u8(byte);
                    continue;
                }
            };
            line.put_slice(&[b'\\', letter]);
        }
    }
}

fn named_format(
    options: &[CopyOption],
    legacy: &[CopyLegacyOption],
) -> Result<CopyFormat, Failure> {
    for option in options {
        if let CopyOption::Format(name) = option {
            return match name.value.to_ascii_lowercase().as_str() {
                "text" => Ok(CopyFormat::Text),
                "csv" => Ok(CopyFormat::Csv),
                "binary" => Ok(CopyFormat::Binary),
                other => Err(Failure::new(
                    "22023",
                    format!("COPY format \"{other}\" not recognized"),
                )
                .hint("text, csv, binary")),
            };
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Csv(_) => return Ok(CopyFormat::Csv),
            CopyLegacyOption::Binary => return Ok(CopyFormat::Binary),
            _ => {}
        }
    }
    Ok(CopyFormat::Text)
}

fn unknown(option: &impl std::fmt::Display) -> Failure {
    Failure::unsupported(format!("the option {option} of COPY is not known here"))
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8")
}

fn byte(option: &str, char: char) -> Result<u8, Failure> {
    u8::try_from(char).ok().filter(u8::is_ascii).ok_or_else(|| {
        Failure::new(
            "22023",
            format!("COPY {option} must be a single one-byte character"),
        )
    })
}

/// The fields of a row; none for NULL.
fn fields(row: &DataRow) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest: &[u8] = &row.data;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> DataRow {
        let mut data = BytesMut::new();
        for value in values {
            match value {
                Some(text) => {
                    data.put_i32(i32::try_from(text.len()).unwrap());
                    data.put_slice(text.as_bytes());
                }
                None => data.put_i32(-1),
            }
        }
        DataRow::new(data, i16::try_from(values.len()).unwrap())
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_those_of_postgresql() {
        let row = row(&[Some("a,\"b\""), None, Some(""), Some("x\ty\\\n")]);
        let form = CopyForm::new(CopyFormat::Csv);
        assert_eq!(
            text(&form.row(&row)),
            "\"a,\"\"b\"\"\",,\"\",\"x\ty\\\n\"\n"
        );
        let form = CopyForm::new(CopyFormat::Text);
        assert_eq!(text(&form.row(&row)), "a,\"b\"\t\\N\t\tx\\ty\\\\\\n\n");
        let form = CopyForm {
            header: true,
            delimiter: b';',
            force_quote: true,
            ..CopyForm::new(CopyFormat::Csv)
        };
        assert_eq!(text(&form.start(&["a;b", "c"])), "\"a;b\";c\n");
        assert_eq!(text(&form.row(&row)).split(';').count(), 4);
    }

    #[test]
    fn the_binary_form_has_its_header_and_its_end() {
        let form = CopyForm::new(CopyFormat::Binary);
        assert_eq!(form.start(&["a"]).len(), 19);
        let row = form.row(&row(&[Some("ab"), None]));
        assert_eq!(&row[..], b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff");
        assert_eq!(&form.end()[..], [0xff, 0xff]);
    }
}
